"""Golden frames: what keeps a wrong engine from deciding anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from csflow.calibration.calibrate import calibrate
from csflow.runtime.bundle import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engine import Engine, open_engine
from csflow.runtime.errors import BundleCorrupted, EngineMismatch
from csflow.runtime.golden import GOLDEN, check_golden, load_golden
from csflow.runtime.types import Frame, Prediction


class Sabotaged:
    """The torch engine with one thing wrong."""

    name = "sabotaged"

    def __init__(self, engine: Engine, fault: str) -> None:
        self._engine = engine
        self._fault = fault

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict, wrongly."""
        if self._fault == "colour order":
            frames = [Frame(np.ascontiguousarray(f.image[:, :, ::-1])) for f in frames]
        if self._fault == "mirrored":
            frames = [Frame(np.ascontiguousarray(f.image[:, ::-1])) for f in frames]
        predictions = self._engine.infer(frames)
        if self._fault == "not finite":
            return [Prediction(float("nan"), p.anomaly_map) for p in predictions]
        if self._fault == "scaled":
            return [Prediction(p.score * 1.02, p.anomaly_map) for p in predictions]
        return predictions

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def __enter__(self) -> "Sabotaged":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def test_trained_model_agrees_with_its_own_golden_frames(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    golden = load_golden(bundle)
    assert {expected.label == "good" for _, expected in golden} == {True, False}
    check = check_golden(open_engine(bundle, "torch"), golden, None)
    assert check.frames == 8
    assert check.score_error < 1e-5
    assert check.map_error < 1e-4


@pytest.mark.parametrize("fault", ["colour order", "mirrored", "not finite", "scaled"])
def test_golden_frames_show_the_fault(trained_copy: Path, fault: str) -> None:
    bundle = Bundle.open(trained_copy)
    check = check_golden(Sabotaged(open_engine(bundle, "torch"), fault), load_golden(bundle), None)
    assert check.score_error > 1e-3


def test_detector_does_not_arm_with_an_engine_that_decides_otherwise(
    trained_copy: Path, product_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(trained_copy)
    calibrate(bundle, [product_line / "calibration" / "good"], open_engine(bundle, "torch"), 0.2, 0.9)
    Detector.open(trained_copy, "torch").close()

    def sabotage(opened: Bundle, backend: str) -> Engine:
        return Sabotaged(open_engine(opened, backend), "not finite")

    monkeypatch.setattr("csflow.runtime.detector.open_engine", sabotage)
    with pytest.raises(EngineMismatch, match="golden frames"):
        Detector.open(trained_copy, "torch")


def test_exchanged_golden_picture_is_refused(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    first, second = trained_copy / "golden" / "00.png", trained_copy / "golden" / "01.png"
    first.write_bytes(second.read_bytes())
    with pytest.raises(BundleCorrupted):
        load_golden(bundle)


def test_golden_list_of_another_form_is_refused(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy).update({GOLDEN: b'{"frames": [{"file": 3}]}'})
    with pytest.raises(BundleCorrupted, match=r"golden\.json"):
        load_golden(bundle)
