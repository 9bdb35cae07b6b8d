"""What the gate is for: each of these faults runs, looks like a csflow engine, and must not pass."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from csflow.export.gate.pictures import choose_samples
from csflow.export.gate.verify import GateReport, verify
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.errors import InferenceError
from csflow.runtime.types import Frame, Prediction, Verdict
from csflow.toolkit.data.dataset import Sample, load_dataset
from csflow.toolkit.methods.flow.coupling import CouplingBlock
from csflow.toolkit.methods.flow.flow import anomaly_map
from csflow.toolkit.torch_engine import TorchEngine

Gate = Callable[[str, Engine | None], GateReport]


class Honest(TorchEngine):
    """The trained model under the name of an engine whose precision is given."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        super().__init__(bundle)
        self.name = f"torch-{precision}"  # type: ignore[misc]
        self.side = bundle.manifest.preprocessing.image_size


class Swapped(Honest):
    """Takes BGR for RGB."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for the wrong colours."""
        return super().infer([Frame(np.ascontiguousarray(f.image[:, :, ::-1])) for f in frames])


class SwappedResize(Honest):
    """Resizes pictures on its device and takes BGR for RGB there; on the golden frames it is honest."""

    def takes(self, image: np.ndarray) -> bool:
        """Every picture."""
        return image.ndim == 3

    def resize(self, image: np.ndarray) -> np.ndarray:
        """A picture of the right size and the wrong colours."""
        return np.asarray(Image.fromarray(image).resize((self.side, self.side)))[:, :, ::-1].copy()


class FailingResize(SwappedResize):
    """Its device fails at every picture."""

    def resize(self, image: np.ndarray) -> np.ndarray:  # noqa: ARG002 - the protocol's
        """Fails."""
        raise InferenceError("out of memory")


class HalfSum(Honest):
    """Sums z² in half precision, as a graph does that lost the float32 island around its score."""

    @torch.inference_mode()
    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict; one after the other is how one accumulator sums."""
        z, _ = self._model.head.flow(self._model.backbone(torch.from_numpy(np.stack([f.image for f in frames]))))
        flat = torch.cat([part.flatten(1) for part in z], 1).half().numpy()
        with np.errstate(over="ignore"):
            sums = np.add.accumulate(flat * flat, axis=1, dtype=np.float16)[:, -1]
        maps = anomaly_map(z).numpy()
        return [Prediction(float(s) / flat.shape[1] / 2, m) for s, m in zip(sums, maps, strict=True)]


class OtherPermutation(Honest):
    """Two channels change places in the first block."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        super().__init__(bundle, precision)
        block = next(m for m in self._model.head.modules() if isinstance(m, CouplingBlock))
        order = block.get_buffer("permutation0")
        half = order.numel() // 2
        order[[0, half]] = order[[half, 0]]


class ScaledWeight(Honest):
    """One convolution of the last block is 2 % too strong."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        super().__init__(bundle, precision)
        weights = [p for p in self._model.head.parameters() if p.ndim == 4]
        weights[-1].mul_(1.02)


@pytest.fixture
def bundle(calibrated: Bundle) -> Bundle:
    return calibrated


def gate(bundle: Bundle, engine: Engine, monkeypatch: pytest.MonkeyPatch, samples: Sequence[Sample] = ()) -> GateReport:
    def load(opened: Bundle, backend: str) -> Engine:
        return engine if backend == "suspect" else load_engine(opened, backend)

    monkeypatch.setattr("csflow.export.gate.verify.load_engine", load)
    return verify(bundle, load_calibration(bundle), ("suspect",), samples)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_an_honest_engine_passes(bundle: Bundle, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = gate(bundle, Honest(bundle, precision), monkeypatch)
    assert not report.failed, report.records
    assert report.records[f"torch-{precision}"].figures.rank_correlation == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("sabotage", "precision"),
    [(Swapped, "int8"), (HalfSum, "bf16"), (OtherPermutation, "fp16"), (ScaledWeight, "fp32")],
)
def test_a_sabotaged_engine_fails(
    bundle: Bundle, sabotage: type[Honest], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = gate(bundle, sabotage(bundle, precision), monkeypatch)
    assert report.failed == (f"torch-{precision}",), report.records


@pytest.mark.parametrize("resize", [SwappedResize, FailingResize])
def test_the_gate_takes_the_way_of_a_run_so_a_wrong_resize_of_the_device_fails(
    bundle: Bundle, product_line: Path, resize: type[Honest], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = choose_samples(load_dataset(product_line), 6)
    honest, wrong = Honest(bundle, "bf16"), resize(bundle, "bf16")
    assert not gate(bundle, honest, monkeypatch, samples).failed
    assert not gate(bundle, wrong, monkeypatch).failed, "golden frames have the model's size already"
    assert gate(bundle, wrong, monkeypatch, samples).failed == ("torch-bf16",)


def test_a_rounded_threshold_fails(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Calibration.verdict

    def rounded(self: Calibration, score: float) -> Verdict:
        warn, reject = (round(t, 4) for t in (self.warn_threshold, self.reject_threshold))
        blunt = Calibration(reject, warn, 0.1, 0.9, 0.1, 0.1, (1.0,), "", "", "")
        return exact(blunt, score)

    monkeypatch.setattr(Calibration, "verdict", rounded)
    report = gate(bundle, Honest(bundle, "fp32"), monkeypatch)
    (record,) = report.records.values()
    assert any("do not follow from score and threshold" in fault for fault in record.faults)


def test_an_engine_that_gives_no_number_or_no_map_fails_and_does_not_end_the_gate(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Honest):
        """Every third answer is none."""

        asked = 0

        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            """Predict, sometimes."""
            self.asked += 1
            (prediction,) = super().infer(frames)
            if self.asked % 3 == 0:
                return [Prediction(float("nan"), prediction.anomaly_map)]
            return [Prediction(prediction.score, prediction.anomaly_map[:2]) if self.asked % 3 == 1 else prediction]

    report = gate(bundle, Broken(bundle, "int8"), monkeypatch)
    (record,) = report.records.values()
    assert not record.passed
    assert record.scores.count(None) == 2
    assert "2 of 8 pictures got no finite score or map" in record.faults


def test_a_flip_outside_the_band_fails_though_scores_are_within_their_tolerance(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = load_golden(bundle)
    top = max(expected.score for _, expected in golden)
    shift = 0.4 * golden.unit(top)

    class Shifted(Honest):
        """The worst part too high by what INT8 may be off."""

        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            """Predict too much."""
            return [Prediction(p.score + shift * (p.score > 0.99 * top), p.anomaly_map) for p in super().infer(frames)]

    engine = Shifted(bundle, "int8")
    assert not gate(bundle, engine, monkeypatch).failed
    calibration = load_calibration(bundle)
    assert calibration is not None
    report = gate(bundle, engine, monkeypatch)
    score = top + shift / 2
    near = Calibration(score, score, 0.2, 0.9, 0.2, 0.2, (score,), bundle.weights_sha256, "torch", "now")
    problems = report.records["torch-int8"].problems(near)
    assert problems == ["1 of 8 verdicts differ by more than the band of 0.50% around a threshold"]
