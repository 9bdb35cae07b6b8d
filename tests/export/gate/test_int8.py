"""INT8 on export: made from good parts, kept only where it passes and is faster, and then run."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.calibration.calibrate import calibrate
from csflow.export.cli.export import export
from csflow.export.gate.candidates import judge_candidates, table
from csflow.export.gate.int8 import good_samples, int8_graph
from csflow.export.gate.staged import StagedBundle
from csflow.export.gate.verify import verify
from csflow.export.graphs.int8.quantize import MIN_SAMPLES
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.golden_check import TOLERANCES, TOLERANCES_FORMAT_1, Tolerances
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.openvino.engine import OpenVINOEngine
from csflow.runtime.errors import DataError, EngineMismatch
from csflow.toolkit.data.dataset import Dataset, Sample, load_dataset

INT8 = "graphs/int8/flow.onnx"


@pytest.fixture
def bundle(trained_copy: Path, product_line: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A calibrated bundle; its graphs are not made anew at every export."""
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    names = ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx")
    monkeypatch.setattr("csflow.export.gate.write_graphs.make_graphs", lambda *_: {n: bundle.read(n) for n in names})
    # A few epochs' training on drawn parts make a model that INT8 rounds more than a real one.
    for limits in (TOLERANCES, TOLERANCES_FORMAT_1):
        monkeypatch.setitem(limits, "int8", Tolerances(9.0, 0.3))
    return bundle


def exported(bundle: Bundle, images: Path) -> str:
    arguments = ["--bundle", str(bundle.path), "--int8", "--images", str(images), "--limit", "4"]
    done = CliRunner().invoke(export, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
def test_int8_that_is_faster_is_kept_and_runs(
    bundle: Bundle, product_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.engines.precision.ADVANTAGE", 1e9)
    (line,) = [line for line in exported(bundle, product_line).splitlines() if line.endswith("  chosen")]
    assert "int8" in line.split()[0]
    now = Bundle.open(bundle.path)
    model = onnx.load_from_string(now.read(INT8))
    dense = [node for node in model.graph.node if node.op_type == "Conv"]
    made = {output: node.op_type for node in model.graph.node for output in node.output}
    assert dense
    assert all(made.get(node.input[0]) == "DequantizeLinear" for node in dense)
    with Detector.open(now.path, "openvino-int8") as detector:
        assert detector.engine.name == "openvino-int8"
        assert not detector.distrust
    monkeypatch.setattr("csflow.runtime.engines.precision.ADVANTAGE", 0.0)
    with OpenVINOEngine(now) as engine:
        assert engine.name == "openvino-fp32", "no precision is infinitely faster"


def test_int8_that_is_not_faster_is_not_kept(
    bundle: Bundle, product_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = bundle.update({INT8: b"an older one"})
    monkeypatch.setattr("csflow.runtime.engines.precision.ADVANTAGE", 0.0)
    rows = {line.split()[0]: line for line in exported(old, product_line).splitlines() if line.strip()}
    assert rows["fp32"].endswith("  chosen")
    assert "of the time of fp32" in rows["int8"] or "times as long as fp32" in rows["int8"]
    now = Bundle.open(bundle.path)
    assert not now.has(INT8)
    with pytest.raises(EngineMismatch, match="no record"):
        Detector.open(now.update({INT8: int8_graph(now, good_samples(load_dataset(product_line)))}).path,
                      "openvino-int8")  # fmt: skip


def test_int8_that_fails_the_gate_is_not_kept(bundle: Bundle, product_line: Path) -> None:
    flow = int8_graph(bundle, good_samples(load_dataset(product_line)))
    staged = StagedBundle.of(bundle, {INT8: flow})
    report = verify(staged, load_calibration(bundle), ("openvino-fp32", "openvino-int8"))
    record = replace(report.records["openvino-int8"], passed=False, faults=("it is off",))
    failed = replace(report, records={**report.records, "openvino-int8": record})
    first, second = judge_candidates(staged, failed)
    assert (first.engine, first.chosen, first.verdicts) == ("openvino-fp32", True, 0)
    assert (second.engine, second.chosen, second.reason) == ("openvino-int8", False, "it is off")
    heading, *rows = table((first, second))
    assert heading.split() == ["precision", "ms", "score", "error", "map", "error", "verdicts"]
    assert [row.split()[0] for row in rows] == ["fp32", "int8"]
    assert rows[1].endswith("  it is off")
    slower = replace(second, reason="passed; takes 1.12 times as long as fp32")
    assert "csflow run times those that passed again" in table((first, slower))[-1]


def test_without_an_engine_that_passed_nothing_is_timed(bundle: Bundle) -> None:
    report = verify(bundle, None, ("torch",))
    assert judge_candidates(bundle, report) == ()
    assert table(()) == []


def test_int8_needs_good_parts() -> None:
    few = Dataset(Path("line"), "folder", tuple(Sample(Path(f"{i}.png")) for i in range(MIN_SAMPLES - 1)))
    with pytest.raises(DataError, match=f"line has {MIN_SAMPLES - 1}"):
        good_samples(few)
    with pytest.raises(DataError, match="--images"):
        good_samples(None)
    many = Dataset(Path("line"), "folder", tuple(Sample(Path(f"{i:03d}.png")) for i in range(300)))
    chosen = good_samples(many)
    assert len({s.path for s in chosen}) == 64


def test_int8_without_pictures_ends_in_one_line_and_changes_nothing(bundle: Bundle) -> None:
    done = CliRunner().invoke(export, ["--bundle", str(bundle.path), "--int8"])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert "--images" in done.output
    assert Bundle.open(bundle.path).manifest == bundle.manifest


@pytest.mark.parametrize("method", ["combined", "mahalanobis"])
def test_int8_of_what_is_no_flow_is_refused_before_any_work(
    trained: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.export.export.prepare_engines", lambda *_: pytest.fail("work began"))
    whole = Bundle.open(trained).manifest
    Bundle.create(tmp_path / "b", replace(whole, method=method, graphs=("backbone", "joined")), {"weights/w": b"x"})
    done = CliRunner().invoke(export, ["--bundle", str(tmp_path / "b"), "--int8", "--images", "never/read"])
    assert done.exit_code == 1
    assert f"the method {method}: export it without --int8" in done.stderr
