"""Which engines may decide: those with a record that passed; and what a run says that decides without one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import VERIFICATION, EngineRecord, Figures, Verification
from csflow.runtime.cli.run import run
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.line.judge import Judge
from csflow.runtime.machine.machine import Machine, processor_names
from csflow.runtime.picture.overlay import result_sheet
from csflow.runtime.types import Frame, Prediction

FIGURES = Figures(0, 2, 0.0, 0.0, None, 1.0, None, None, 0.0, None, None, 0.0, 0.0)


@pytest.fixture
def bundle(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A calibrated bundle whose fake engine goes by the name of a real one."""
    monkeypatch.setattr(FakeEngine, "name", "openvino-fp32")
    return calibrated_bundle.update({"graphs/fp32/backbone.onnx": b"1", "graphs/fp32/flow.onnx": b"2"})


def with_record(bundle: Bundle, scores: tuple[float, ...] = (0.3, 0.7), faults: tuple[str, ...] = ()) -> Bundle:
    files = engine_files(bundle, EngineName("openvino", "fp32"))
    facts = ("library", "machine", "0.1", "now", "golden frames", 0.005)
    record = EngineRecord(files, *facts, (0.3, 0.7), scores, FIGURES, faults, None, None, True)
    return bundle.update({VERIFICATION: Verification(bundle.weights_sha256, {"openvino-fp32": record}).to_bytes()})


def test_an_engine_with_a_record_that_passed_decides(bundle: Bundle) -> None:
    with_record(bundle)
    with Detector.open(bundle.path, "fake") as detector:
        assert detector.detect(np.full((64, 64, 3), 10, np.uint8)).verified


def test_an_engine_without_a_record_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EngineMismatch, match=r"not verified.*csflow verify.*--unverified"):
        Detector.open(bundle.path, "fake")


def test_an_engine_that_failed_is_refused(bundle: Bundle) -> None:
    with_record(bundle, faults=("a score is off",))
    with pytest.raises(EngineMismatch, match="failed the decision gate: a score is off"):
        Detector.open(bundle.path, "fake")


def test_a_record_of_other_graphs_is_none(bundle: Bundle) -> None:
    with_record(bundle).update({"graphs/fp32/flow.onnx": b"3"})
    with pytest.raises(EngineMismatch, match="no record"):
        Detector.open(bundle.path, "fake")


def test_a_skipped_gate_is_named(bundle: Bundle) -> None:
    bundle.update({VERIFICATION: Verification(bundle.weights_sha256, {}, skipped=True).to_bytes()})
    with pytest.raises(EngineMismatch, match="--no-verify"):
        Detector.open(bundle.path, "fake")


def test_a_new_calibration_keeps_the_record_usable_and_is_judged_anew(bundle: Bundle) -> None:
    with_record(bundle, scores=(0.3, 0.72))
    Detector.open(bundle.path, "fake").close()
    calibration = load_calibration(bundle)
    assert calibration is not None
    moved = replace(calibration, warn_threshold=0.40, reject_threshold=0.45)
    bundle.write_calibration(json.dumps(moved.__dict__).encode())
    Detector.open(bundle.path, "fake").close()
    between = replace(calibration, reject_threshold=0.71)
    bundle.write_calibration(json.dumps(between.__dict__).encode())
    with pytest.raises(EngineMismatch, match="1 of 2 verdicts differ"):
        Detector.open(bundle.path, "fake")


def test_every_result_of_an_unverified_engine_says_so(bundle: Bundle, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    Image.new("RGB", (64, 64), (20, 20, 20)).save(parts / "good.png")
    (parts / "none.png").write_bytes(b"no picture")
    results = tmp_path / "results.jsonl"
    options = ["--bundle", str(bundle.path), "--backend", "fake", "--camera", str(parts), "--results", str(results)]
    refused = CliRunner().invoke(run, options)
    assert refused.exit_code == 4
    assert not results.exists()
    done = CliRunner().invoke(run, [*options, "--unverified"])
    assert done.exit_code == 0, done.output
    assert "WARNING" in done.stderr
    assert done.stdout.count("ENGINE NOT VERIFIED") == 2, "the part, and the file that is none"
    assert "2 by an engine that is NOT VERIFIED" in done.stdout
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["verified"] for line in lines] == [False, False]
    with_record(bundle)
    verified = CliRunner().invoke(run, options)
    assert verified.exit_code == 0
    assert "VERIFIED" not in verified.output
    assert [json.loads(line)["verified"] for line in results.read_text().splitlines()[2:]] == [True, True]


def test_a_saved_picture_of_an_unverified_engine_says_so(bundle: Bundle) -> None:
    with Detector.open(bundle.path, "fake", unverified=True) as detector:
        result = detector.detect(np.full((64, 64, 3), 200, np.uint8))
    image = np.zeros((64, 64, 3), np.uint8)
    assert (result_sheet(image, result) != result_sheet(image, replace(result, verified=True))).any()


class Drifting(FakeEngine):
    """The fake engine under the name of a plan, off by a share that may change."""

    name = "tensorrt-fp16"
    error = 0.0
    asked = 0

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict, and count."""
        Drifting.asked += len(frames)
        return [Prediction(p.score * (1 + self.error), p.anomaly_map) for p in super().infer(frames)]


@pytest.fixture
def plan(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan that no gate has run, in a bundle whose fake engine runs it."""
    monkeypatch.setattr("csflow.runtime.engines.fake.FakeEngine", Drifting)
    monkeypatch.setattr(Drifting, "error", 0.0)
    monkeypatch.setattr(Drifting, "asked", 0)
    path = calibrated_bundle.path / "engines" / "tensorrt" / "fp16" / "flow.plan"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"plan")
    return path


def test_a_plans_golden_frames_are_read_once_and_scored_once_at_its_first_start(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Bundle.read
    monkeypatch.setattr(Bundle, "read", lambda self, name: read.append(name) or original(self, name))
    with Detector.open(plan.parents[3], "fake") as detector:
        assert not detector.distrust
        Judge(detector).close()
    golden = [name for name in read if name.startswith("golden/")]
    assert sorted(golden) == ["golden/0.png", "golden/1.png", "golden/golden.json"]
    assert Drifting.asked == 2


def test_a_plan_that_is_off_by_more_than_its_precision_explains_is_refused(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drifting, "error", 0.02)
    with pytest.raises(EngineMismatch, match=r"off by 2\.00%, at most 1\.00% is rounding"):
        Detector.open(plan.parents[3], "fake")
    with Detector.open(plan.parents[3], "fake", unverified=True) as detector:
        assert not detector.detect(np.full((64, 64, 3), 10, np.uint8)).verified


def test_a_machine_is_known_by_its_processor_board_and_gpus(tmp_path: Path) -> None:
    card = tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA L4\nIRQ: 1\n")
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Xeon\n")
    assert processor_names(Machine(root=tmp_path)) == "Xeon, NVIDIA L4"
    assert processor_names(Machine(root=tmp_path / "nothing"))
