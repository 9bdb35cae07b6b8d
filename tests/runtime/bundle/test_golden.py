"""Golden frames: what keeps a wrong engine from deciding anything."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from csflow.calibration.calibrate import calibrate
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GOLDEN, GoldenFrame, GoldenSet, load_golden, write_golden
from csflow.runtime.detector import Detector
from csflow.runtime.engine import Engine
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.golden_check import check_golden, golden_problems
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import BundleCorrupted, BundleError, EngineMismatch
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.torch_engine import TorchEngine


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
        if self._fault == "mirrored map":
            return [Prediction(p.score, p.anomaly_map[:, ::-1]) for p in predictions]
        if self._fault == "zeroed buffers":
            return [Prediction(0.0, np.zeros_like(p.anomaly_map)) for p in predictions]
        if self._fault == "not finite":
            return [Prediction(float("nan"), p.anomaly_map) for p in predictions]
        if self._fault == "scaled":
            return [Prediction(p.score * 1.011, p.anomaly_map) for p in predictions]
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


FAULTS = ["colour order", "mirrored", "mirrored map", "zeroed buffers", "not finite"]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_engine_with_this_fault_is_opened(trained_copy: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def sabotaged(bundle: Bundle) -> Sabotaged:
        return Sabotaged(TorchEngine(bundle), fault)

    monkeypatch.setattr("csflow.toolkit.torch_engine.TorchEngine", sabotaged)
    with pytest.raises(EngineMismatch, match="golden frames"):
        open_engine(Bundle.open(trained_copy), "torch")


def test_engine_whose_verdicts_differ_is_not_opened(
    trained_copy: Path, product_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(trained_copy)
    calibrate(bundle, [product_line / "calibration" / "good"], open_engine(bundle, "torch"), 0.2, 0.9)
    Detector.open(trained_copy, "torch").close()
    calibration = load_calibration(bundle)
    assert calibration is not None
    # A threshold just above a golden score: 1.1 % more flips the verdict, though it is within the score's tolerance.
    score = max(expected.score for _, expected in load_golden(bundle)) * 1.0055
    near = dataclasses.replace(calibration, reject_threshold=score, warn_threshold=score)

    def sabotaged(bundle: Bundle) -> Sabotaged:
        return Sabotaged(TorchEngine(bundle), "scaled")

    monkeypatch.setattr("csflow.toolkit.torch_engine.TorchEngine", sabotaged)
    open_engine(bundle, "torch").close()
    with pytest.raises(EngineMismatch, match="1 of 8 verdicts differ"):
        open_engine(bundle, "torch", near)


def test_threshold_that_is_a_golden_frame_s_own_score_is_no_reason_to_refuse(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    golden = load_golden(bundle)
    score = golden.pictures[0][1].score
    on_it = Calibration(score, score, 0.05, 0.95, 0.05, 0.05, (score,), bundle.weights_sha256, "torch", "now")
    below = dataclasses.replace(on_it, reject_threshold=score * (1 - 1e-7), warn_threshold=score * (1 - 1e-7))
    for calibration in (on_it, below):
        open_engine(bundle, "openvino-fp32", calibration).close()


@pytest.mark.parametrize("frames", [None, b'{"frames": []}'])
def test_bundle_without_golden_frames_is_not_run(trained_copy: Path, frames: bytes | None) -> None:
    bundle = Bundle.open(trained_copy)
    changed = bundle.update({GOLDEN: frames}) if frames else bundle.update({}, remove=(GOLDEN,))
    with pytest.raises(BundleError, match="golden"):
        open_engine(changed, "torch")


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


class Mapped:
    """An engine that gives one map."""

    name = "mapped"

    def __init__(self, anomaly_map: np.ndarray) -> None:
        self._map = anomaly_map

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """The map for each frame."""
        return [Prediction(1.0, self._map) for _ in frames]


def test_large_map_is_kept_as_means_and_still_checked_for_size_and_place() -> None:
    fine = np.random.default_rng(0).random((96, 96), np.float32) + np.arange(96, dtype=np.float32) / 10
    frame = GoldenFrame.of("00.png", "good", Prediction(1.0, fine), 32)
    assert np.shape(frame.anomaly_map) == (3, 3)

    def error(got: np.ndarray) -> float:
        golden = GoldenSet(((Frame(np.zeros((96, 96, 3), np.uint8)), frame),))
        return check_golden(Mapped(got), golden, None).map_error  # type: ignore[arg-type]

    assert error(fine) == 0.0
    assert error(fine[:, ::-1]) > 0.1
    assert error(fine[::2, ::2]) == float("inf")
    assert error(fine[:3, :3]) == float("inf")
    assert error(np.full_like(fine, np.nan)) == float("inf")


def test_a_ragged_or_ill_fitting_map_is_refused_in_words(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(image_size=128)
    listed = json.loads(bundle.read(GOLDEN))
    rows = listed["frames"][0]["anomaly_map"]
    for change, word in (
        ({"anomaly_map": [rows[0], *[row[1:] for row in rows[1:]]]}, "as many columns"),
        ({"anomaly_map": []}, "as many columns"),
        ({"cell": 0}, "cell must be"),
    ):
        broken = {**listed, "frames": [{**listed["frames"][0], **change}, *listed["frames"][1:]]}
        with pytest.raises(BundleCorrupted, match=word):
            load_golden(bundle.update({GOLDEN: json.dumps(broken).encode()}))


class Scaled(FakeEngine):
    """The fake engine, off by a share of the score."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict, off by 2 %."""
        return [Prediction(p.score * 1.02, p.anomaly_map) for p in super().infer(frames)]


def test_an_error_is_a_share_of_the_spread_of_good_scores(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    plain = load_golden(bundle)
    pictures = [(frame.image, expected) for frame, expected in plain]
    golden = load_golden(bundle.update(write_golden(pictures, [0.24, 0.26])))
    assert golden.spread == pytest.approx((0.25, 0.01))
    assert golden.unit(0.251) == pytest.approx(0.01), "a good score"
    assert golden.unit(0.75) == pytest.approx(0.5), "a score far off is known less exactly"
    with Scaled(bundle) as engine:
        by_score, by_spread = check_golden(engine, plain, None), check_golden(engine, golden, None)
    assert by_score.score_error == pytest.approx(0.02)
    assert by_spread.score_error == pytest.approx(max(0.02 * e.score / golden.unit(e.score) for _, e in golden))
    assert by_spread.score_error > 0.25
    assert (by_score.passed("x-fp16"), by_spread.passed("x-fp16")) == (True, False)


def test_a_shift_of_all_scores_changes_no_error() -> None:
    near, far = GoldenSet((), (0.5, 0.1)), GoldenSet((), (1000.5, 0.1))
    assert [near.unit(s) for s in (0.5, 0.6, 3.0)] == pytest.approx([far.unit(s + 1000) for s in (0.5, 0.6, 3.0)])


@pytest.mark.parametrize("scores", [(), (0.5,), (0.5, 0.5)])
def test_scores_without_a_spread_are_not_written(make_bundle: Callable[..., Bundle], scores: tuple[float, ...]) -> None:
    bundle = make_bundle()
    pictures = [(frame.image, expected) for frame, expected in load_golden(bundle)]
    assert load_golden(bundle.update(write_golden(pictures, scores))).spread is None


@pytest.mark.parametrize(
    ("change", "word"), [({"centre": 1.0}, "together"), ({"centre": 1.0, "spread": 0.0}, "positive")]
)
def test_a_spread_that_is_none_is_refused(
    make_bundle: Callable[..., Bundle], change: dict[str, float], word: str
) -> None:
    bundle = make_bundle()
    with pytest.raises(BundleCorrupted, match=word):
        load_golden(bundle.update({GOLDEN: json.dumps({**json.loads(bundle.read(GOLDEN)), **change}).encode()}))


def test_tolerances_follow_the_narrowest_precision_in_the_name() -> None:
    assert golden_problems("openvino-fp32", 1e-5, 1e-4, False) == []
    assert len(golden_problems("openvino-fp32", 1e-3, 0.05, False)) == 2
    assert golden_problems("torch-fp16", 4e-3, 0.01, False) == []
    assert golden_problems("openvino-int8", float("nan"), 0.0, False)
    assert golden_problems("scripted", 0.04, 0.09, False) == []
    assert golden_problems("openvino-fp32+bf16", 0.2, 0.09, True) == []
    assert "of the spread of good scores" in golden_problems("openvino-fp32", 0.2, 0.0, True)[0]
