"""The decision gate on honest engines, and the commands around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.export.cli.export import export
from csflow.export.cli.verify import verify as verify_command
from csflow.export.gate import verify as gate
from csflow.export.gate.figures import Answer, figures_of
from csflow.export.gate.pictures import Truth, choose_samples, truth_of
from csflow.export.gate.report import summary_lines
from csflow.export.gate.staged import StagedBundle
from csflow.export.gate.verify import verify
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenSet
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.verification import VERIFICATION, load_verification
from csflow.runtime.detector import Detector
from csflow.runtime.engines.stages import wide_files
from csflow.runtime.errors import BackendUnavailable, BundleError, DataError, EngineMismatch
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.data.dataset import Dataset, Sample, load_dataset


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]


def test_honest_engines_pass_and_then_decide(calibrated: Bundle, product_line: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineMismatch, match="csflow verify"):
        Detector.open(calibrated.path, "openvino-fp32")
    done = run(verify_command, product_line, "--bundle", calibrated.path, "--backend", "openvino-fp32", "--json",
               "--report", tmp_path / "report")  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    (figures,) = (engine["figures"] for engine in told["engines"].values())
    pictures = len(load_dataset(product_line).test)
    assert told["passed"]
    assert told["pictures"] == 8 + pictures
    assert figures["good"] + figures["defective"] == pictures
    assert figures["auroc_change"] < 1e-3
    assert figures["rank_correlation"] > 0.9999
    assert max(figures["score_error_max"], figures["map_error_inside"], figures["map_error_outside"]) < 1e-3
    page = (tmp_path / "report" / "verification.html").read_text()
    assert "openvino-fp32" in page
    assert "passed" in page
    bundle = Bundle.open(calibrated.path)
    bundle.verify()
    assert bundle.read("verification.html").decode() == page
    found = load_verification(bundle)
    assert found is not None
    record = found.engines["openvino-fp32"]
    assert record.passed
    assert record.library.startswith("openvino 2")
    assert len(record.scores) == told["pictures"]
    with Detector.open(bundle.path, "openvino-fp32") as detector:
        assert not detector.distrust


def test_what_failed_on_pictures_does_not_pass_on_golden_frames(calibrated: Bundle, product_line: Path) -> None:
    done = run(verify_command, product_line, "--bundle", calibrated.path, "--backend", "openvino-fp32")
    assert done.exit_code == 0, done.output
    bundle = Bundle.open(calibrated.path)
    found = load_verification(bundle)
    assert found is not None
    failed = replace(found.engines["openvino-fp32"], faults=("a verdict differs",), passed=False)
    bundle.update({VERIFICATION: replace(found, engines={"openvino-fp32": failed}).to_bytes()})

    again = run(verify_command, "--bundle", calibrated.path, "--backend", "openvino-fp32")

    assert "openvino-fp32: passed, 8 pictures" in again.output
    assert f"its record stays, in which it failed on {len(failed.scores)} pictures" in again.output
    with pytest.raises(EngineMismatch, match="a verdict differs"):
        Detector.open(calibrated.path, "openvino-fp32")


def test_half_precision_by_torch_passes(calibrated: Bundle) -> None:
    report = verify(calibrated, load_calibration(calibrated), ("torch-fp16",))
    assert not report.failed
    assert report.records["torch-fp16"].files == {}


def test_without_thresholds_scores_are_compared_and_it_says_so(trained_copy: Path) -> None:
    done = run(verify_command, "--bundle", trained_copy, "--backend", "openvino-fp32")
    assert done.exit_code == 0, done.output
    assert "not calibrated" in done.stdout
    assert "verdicts differ" not in done.stdout
    found = load_verification(Bundle.open(trained_copy))
    assert found is not None
    assert found.engines["openvino-fp32"].decisions is None


def test_an_engine_asked_for_by_name_must_run(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    with pytest.raises(BundleError, match="--int8"):
        verify(bundle, None, ("openvino-int8",))
    before = bundle.manifest
    done = run(verify_command, "--bundle", trained_copy, "--backend", "openvino-int8")
    assert done.exit_code == 3
    assert done.output.count("\n") == 1
    assert Bundle.open(trained_copy).manifest == before


def test_by_default_what_cannot_run_is_left_out_and_named(trained_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open(trained_copy)
    report = verify(bundle, None)
    assert "--int8" in report.left_out["openvino-int8"]
    assert "openvino-fp32" in report.records
    (told,) = [line for line in summary_lines(report) if line.startswith("not run here: ")]
    assert "openvino-int8" in told

    def absent(*_: object) -> None:
        raise BackendUnavailable("install it")

    monkeypatch.setattr("csflow.export.gate.verify.load_engine", absent)
    done = run(verify_command, "--bundle", trained_copy)
    assert done.exit_code == 4
    assert "no engine runs here" in done.stderr


class Doubled:
    """An engine whose scores are twice what they should be, under the name that it is given."""

    def __init__(self, engine: Any, name: str) -> None:
        self._engine, self.name = engine, name

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        return [replace(p, score=2 * p.score) for p in self._engine.infer(frames)]

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Doubled:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`broken(name)`: float32 and this engine run here, and this engine fails."""
    real = gate.load_engine

    def install(name: str) -> None:
        def load(bundle: Bundle, backend: str) -> Any:
            return Doubled(real(bundle, "openvino-fp32"), name) if backend == name else real(bundle, backend)

        monkeypatch.setattr(gate, "load_engine", load)
        monkeypatch.setattr(gate, "_all_backends", lambda *_: tuple(dict.fromkeys(("openvino-fp32", name))))

    return install


def test_the_exit_code_is_about_what_was_named_or_will_be_used(
    calibrated: Bundle, broken: Callable[[str], None]
) -> None:
    broken("openvino-bf16")
    done = run(verify_command, "--bundle", calibrated.path)
    assert done.exit_code == 0, done.output
    assert "openvino-bf16: not used, " in done.stdout
    assert "  openvino-bf16: a score on the golden frames is off" in done.stdout
    assert "FAILED" not in done.stdout
    told = json.loads(run(verify_command, "--bundle", calibrated.path, "--json").stdout)
    assert (told["passed"], told["not_used"]) == (True, ["openvino-bf16"])
    named = run(verify_command, "--bundle", calibrated.path, "--backend", "openvino-bf16")
    assert named.exit_code == 4
    assert "openvino-bf16: FAILED" in named.stdout
    assert "openvino-bf16 failed" in named.stderr
    broken("openvino-fp32")
    assert run(verify_command, "--bundle", calibrated.path).exit_code == 4


def test_export_that_says_failed_does_not_end_as_if_all_were_well(
    calibrated: Bundle, broken: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = {n: calibrated.read(n) for n in ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx")}
    monkeypatch.setattr("csflow.export.gate.write_graphs.make_graphs", lambda *_: graphs)
    broken("openvino-bf16")
    candidate = run(export, "--bundle", calibrated.path)
    assert candidate.exit_code == 0, candidate.output
    assert "FAILED" not in candidate.output
    assert "torch-fp16" not in candidate.output
    broken("tensorrt-fp32")
    used = run(export, "--bundle", calibrated.path)
    assert used.exit_code == 4
    assert "tensorrt-fp32: FAILED" in used.output


def test_export_runs_the_gate_and_skips_it_with_a_mark(calibrated: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = {n: calibrated.read(n) for n in ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx")}
    monkeypatch.setattr("csflow.export.gate.write_graphs.make_graphs", lambda *_: graphs)
    before = set(calibrated.manifest.files)
    # Of an export with pictures, which alone can judge them.
    calibrated.update(dict.fromkeys(wide_files("backbone"), b"parts"))
    skipped = run(export, "--bundle", calibrated.path, "--no-verify")
    assert skipped.exit_code == 0, skipped.output
    assert "not verified" in skipped.output
    assert set(Bundle.open(calibrated.path).manifest.files) == before | {VERIFICATION}
    Bundle.open(calibrated.path).update(dict.fromkeys(wide_files("backbone"), b"parts"))
    with pytest.raises(EngineMismatch, match="--no-verify"):
        Detector.open(calibrated.path)
    done = run(export, "--bundle", calibrated.path)
    assert done.exit_code == 0, done.output
    assert "openvino-fp32: passed, 8 pictures, 0 verdicts differ" in done.output
    bundle = Bundle.open(calibrated.path)
    bundle.verify()
    assert set(bundle.manifest.files) == before | {VERIFICATION, "verification.html"}
    Detector.open(bundle.path).close()
    assert run(export, "--bundle", calibrated.path, "--no-verify", "--int8").exit_code == 2


def test_a_staged_bundle_is_the_one_to_come(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    staged = StagedBundle.of(bundle, {"graphs/fp32/flow.onnx": b"new", "graphs/int8/flow.onnx": b"more"})
    assert staged.read("graphs/fp32/flow.onnx") == b"new"
    assert staged.has("graphs/int8/flow.onnx")
    for name in (*staged.staged, "graphs/fp32/backbone.onnx"):
        with staged.checked(name) as file:
            assert Path(file).read_bytes() == staged.read(name), "also where no such file lies on the disk"
    assert staged.weights_sha256 == bundle.weights_sha256
    now = bundle.update({"graphs/fp32/flow.onnx": b"new", "graphs/int8/flow.onnx": b"more"})
    assert now.manifest.files == staged.manifest.files
    fewer = StagedBundle.of(now, {}, ("graphs/int8/flow.onnx",))
    assert set(now.manifest.files) - set(fewer.manifest.files) == {"graphs/int8/flow.onnx"}


def samples(good: int, *defects: int) -> Dataset:
    found = [Sample(Path(f"{i:03d}.png")) for i in range(good)]
    found += [Sample(Path(f"{i:03d}.png"), f"defect{kind}") for kind, count in enumerate(defects) for i in range(count)]
    return Dataset(Path(), "mvtec", (Sample(Path("train.png")),), (), tuple(reversed(found)))


def test_a_limit_takes_the_same_pictures_of_every_kind() -> None:
    dataset = samples(60, 10, 40)
    chosen = choose_samples(dataset, 20)
    assert chosen == choose_samples(samples(60, 10, 40), 20)
    assert len(set(chosen)) == 20
    assert sum(s.label == "good" for s in chosen) == 10
    assert {s.label for s in chosen} == {"good", "defect0", "defect1"}
    assert len(choose_samples(dataset)) == 110
    assert len(choose_samples(samples(3, 50), 20)) == 20
    assert [s.path.name for s in choose_samples(Dataset(Path(), "folder", (Sample(Path("a.png")),)))] == ["a.png"]
    with pytest.raises(DataError, match="--limit"):
        choose_samples(samples(10_001))


def test_a_mask_marks_every_cell_it_touches(tmp_path: Path) -> None:
    picture, mask = np.zeros((128, 256, 3), np.uint8), np.zeros((128, 256), np.uint8)
    mask[0, 255] = mask[70:80, 10:20] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    sample = Sample(tmp_path / "a.png", "scratch", tmp_path / "a_mask.png")
    whole = truth_of(sample, Preprocessing(128), (4, 4)).marked
    assert whole is not None
    assert np.argwhere(whole).tolist() == [[0, 3], [2, 0]]
    right = truth_of(sample, Preprocessing(128, (128, 0, 128, 128)), (4, 4)).marked
    assert right is not None
    assert np.argwhere(right).tolist() == [[0, 3]]


def test_map_errors_are_told_apart_by_region() -> None:
    marked = np.array([[True, False], [False, False]])
    truths = [Truth(True, True, None), Truth(False, False, marked), Truth(False, True, np.zeros((2, 2), bool))]
    flat = np.ones((2, 2))
    got = np.array([[1.5, 1.0], [1.0, 1.0]])
    reference = [Answer(1.0, flat), Answer(4.0, flat), Answer(1.0, flat)]
    answers = [Answer(1.0, flat), Answer(4.4, got), Answer(1.0, flat)]
    figures = figures_of(truths, reference, answers, 2.0, GoldenSet(()))
    assert figures.map_error_inside == pytest.approx(0.5)
    assert figures.map_error_outside == 0.0
    assert figures.map_error_max == pytest.approx(0.125)
    assert figures.score_error_tail == pytest.approx(0.1)
    assert (figures.golden_score_error, figures.golden_map_error) == (0.0, 0.0)
    assert (figures.good, figures.defective, figures.auroc) == (1, 1, 1.0)
