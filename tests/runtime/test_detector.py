"""From a picture to a result: verdicts, the peak in pixels of the input, and what may never be OK."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import PictureSizes
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import BundleError, CalibrationError, ConfigError, InferenceError, SourceError
from csflow.runtime.types import Frame, Prediction, Verdict


class Scripted(FakeEngine):
    """Gives the predictions it was told."""

    name = "scripted"

    def __init__(self, bundle: Bundle, *predictions: Prediction) -> None:
        super().__init__(bundle)
        self.script = predictions
        self.closed = 0

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:  # noqa: ARG002 - the protocol's signature
        """The script, whatever comes in."""
        return list(self.script)

    def close(self) -> None:
        """Count."""
        self.closed += 1


def flat(level: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def scripted(bundle: Bundle, *predictions: Prediction) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, Scripted(bundle, *predictions), calibration)


def a_map(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(2, -1)


@pytest.mark.parametrize(
    ("level", "verdict", "reason"),
    [
        (0, Verdict.ERROR, "not finite"),
        (1, Verdict.OK, ""),
        (127, Verdict.OK, ""),
        (128, Verdict.UNCERTAIN, "above warn threshold 0.5"),
        (152, Verdict.UNCERTAIN, "above warn threshold 0.5"),
        (154, Verdict.NOK, "above reject threshold 0.6"),
    ],
)
def test_verdicts(calibrated_bundle: Bundle, level: int, verdict: Verdict, reason: str) -> None:
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        result = detector.detect(flat(level))
    assert result.verdict is verdict
    assert result.reason.endswith(reason)
    assert bool(result.reason) == (verdict is not Verdict.OK)
    assert result.fault == ("score" if verdict is Verdict.ERROR else "")
    assert result.score == pytest.approx(level / 255, abs=1e-6)
    assert result.threshold == 0.6
    assert result.p_value == detector.calibration.p_value(result.score)


def test_a_result_names_its_frame(calibrated_bundle: Bundle) -> None:
    captured = time.monotonic_ns()
    frames = [Frame(flat(level), 7 + level, captured, f"f{level}") for level in (1, 200)]
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        results = detector.detect_batch(frames)
    assert [(r.frame_index, r.source, r.captured_ns) for r in results] == [
        (8, "f1", captured),
        (207, "f200", captured),
    ]
    assert [r.verdict for r in results] == [Verdict.OK, Verdict.NOK]


def test_times_are_seconds_from_the_capture_on(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        clock = iter([9_000_000_000, 9_250_000_000, 9_500_000_000])
        stand_in = SimpleNamespace(monotonic_ns=lambda: next(clock), monotonic=time.monotonic)
        monkeypatch.setattr("csflow.runtime.detector.time", stand_in)
        frame = Frame(flat(1), 0, 7_000_000_000)
        (result,) = detector.decide([frame], [detector.prepare(frame)], [0.125])
    assert (result.prepare_s, result.infer_s, result.latency_s) == (0.125, 0.25, 2.5)


def test_array_picture_and_frame_agree(calibrated_bundle: Bundle) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        scores = {detector.detect(i).score for i in (image, Image.fromarray(image), Frame(image))}
    assert len(scores) == 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_an_error(calibrated_bundle: Bundle, score: float) -> None:
    result = scripted(calibrated_bundle, Prediction(score, a_map(0, 0, 0, 0))).detect(flat(0))
    assert result.verdict is Verdict.ERROR
    assert result.peak_xy == (-1, -1)
    assert math.isnan(result.p_value)
    assert "not finite" in result.reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_map_that_is_not_finite_is_an_error_however_low_the_score(calibrated_bundle: Bundle, value: float) -> None:
    detector = scripted(calibrated_bundle, Prediction(0.1, a_map(0, 0, value, 0)))
    result = detector.detect(flat(0))
    assert result.verdict is Verdict.ERROR
    assert math.isnan(result.score)
    detector.engine.script = (Prediction(0.1, a_map(0, 0, 0, 0)),)  # type: ignore[attr-defined]
    assert detector.detect(flat(0)).verdict is Verdict.OK


@pytest.mark.parametrize("shape", [(0, 0), (2,), (1, 2, 2), (2, 0)])
def test_a_map_of_another_shape_is_the_engines_error(calibrated_bundle: Bundle, shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceError, match="map of"):
        scripted(calibrated_bundle, Prediction(0.0, np.zeros(shape, np.float32))).detect(flat(0))


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrong_number_of_predictions_is_the_engines_error(calibrated_bundle: Bundle, count: int) -> None:
    with pytest.raises(InferenceError, match=f"gave {count} predictions for 1 frames"):
        scripted(calibrated_bundle, *[Prediction(0.0, a_map(0, 0, 0, 0))] * count).detect(flat(0))


@pytest.mark.parametrize(
    ("roi", "hottest", "expected"),
    [
        (None, 0, (25, 15)),
        (None, 3, (75, 45)),
        ((10, 20, 40, 8), 0, (20, 22)),
        ((10, 20, 40, 8), 1, (40, 22)),
        ((10, 20, 40, 8), 2, (20, 26)),
        ((99, 59, 1, 1), 3, (99, 59)),
    ],
)
def test_the_peak_is_in_pixels_of_the_input(
    calibrated_bundle: Bundle, roi: tuple[int, int, int, int] | None, hottest: int, expected: tuple[int, int]
) -> None:
    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    manifest = calibrated_bundle.manifest
    bundle = replace(
        calibrated_bundle, manifest=replace(manifest, preprocessing=replace(manifest.preprocessing, roi=roi))
    )
    values = [0.0] * 4
    values[hottest] = 1.0
    detector = Detector(bundle, Scripted(bundle, Prediction(0.1, a_map(*values))), calibration)
    result = detector.detect(flat(0, height=60, width=100))
    assert result.peak_xy == expected


def test_a_bright_spot_is_found_where_it_is(calibrated_bundle: Bundle) -> None:
    image = flat(0, height=300, width=500)
    image[200:230, 100:140] = 255
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        # The fake engine sees 2 by 2 cells: the middle of the one at the bottom left.
        assert detector.detect(image).peak_xy == (125, 225)


def test_no_thresholds_no_detector(make_bundle: Callable[..., Bundle]) -> None:
    with pytest.raises(CalibrationError, match="csflow calibrate"):
        Detector.open(make_bundle().path, "fake")


def test_what_cannot_be_opened(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no backend 'x'; choose one of: auto"):
        Detector.open(calibrated_bundle.path, "x")
    monkeypatch.setenv("CSFLOW_BUNDLE", str(calibrated_bundle.path / "absent"))
    with pytest.raises(BundleError, match="no bundle at"):
        Detector.open()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), Image.new("I;16", (40, 40))], ids=["grey", "deep"])
def test_a_picture_that_cannot_be_used(calibrated_bundle: Bundle, image: Image.Image) -> None:
    with (
        Detector.open(calibrated_bundle.path, "fake") as detector,
        pytest.raises(SourceError, match=r"expected|8 bits"),
    ):
        detector.detect(image)


def test_a_picture_of_another_aspect_than_the_training_s_is_refused_unless_any_size(calibrated_bundle: Bundle) -> None:
    training = {"pictures": schema.to_mapping(PictureSizes.of([(64, 64)]))}
    manifest = replace(calibrated_bundle.manifest, provenance={"training": training})
    bundle = Bundle(calibrated_bundle.path, manifest)
    calibration = load_calibration(bundle)
    assert calibration is not None
    with Detector(bundle, FakeEngine(bundle), calibration) as detector:
        assert detector.detect(flat(51, 128, 128)).verdict is Verdict.OK
        for height, width in ((480, 640), (31, 31)):
            with pytest.raises(SourceError, match=rf"^{width}x{height} pixels .*any_size"):
                detector.detect_batch([Frame(flat(51)), Frame(flat(51, height, width))])
    with Detector(bundle, FakeEngine(bundle), calibration, any_size=True) as detector:
        assert detector.detect(flat(51, 480, 640)).verdict is Verdict.OK


def test_leaving_the_block_closes_the_engine(calibrated_bundle: Bundle) -> None:
    with scripted(calibrated_bundle) as detector:
        pass
    assert isinstance(detector.engine, Scripted)
    assert detector.engine.closed == 1


def test_threads_take_turns_and_each_gets_the_result_of_its_own_picture(calibrated_bundle: Bundle) -> None:
    inside: list[int] = []
    most: list[int] = []

    class Busy(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()
            return super().infer(frames)

    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    with (
        Detector(calibrated_bundle, Busy(calibrated_bundle), calibration) as detector,
        ThreadPoolExecutor(8) as threads,
    ):
        pictures = [flat(51 if i % 2 else 204) for i in range(64)]
        verdicts = [result.verdict for result in threads.map(detector.detect, pictures)]
    assert verdicts == [Verdict.NOK, Verdict.OK] * 32
    assert set(most) == {1}


def test_a_closed_detector_says_so_instead_of_touching_its_engine(calibrated_bundle: Bundle) -> None:
    detector = Detector.open(calibrated_bundle.path, "fake")
    detector.close()
    detector.close()
    with pytest.raises(InferenceError, match="the detector is closed"):
        detector.detect(flat(51))


def test_an_engine_that_hangs_does_not_keep_the_detector_from_closing(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.detector.CLOSE_S", 0.01)
    inside, go_on = threading.Event(), threading.Event()

    class Hangs(Scripted):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            inside.set()
            assert go_on.wait(60.0)
            return super().infer(frames)

    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    engine = Hangs(calibrated_bundle, Prediction(0.2, a_map(1, 1, 1, 1)))
    detector = Detector(calibrated_bundle, engine, calibration)
    thread = threading.Thread(target=detector.detect, args=(flat(51),))
    thread.start()
    assert inside.wait(60.0)
    detector.close()
    assert engine.closed == 0
    go_on.set()
    thread.join(60.0)
    detector.close()
    assert engine.closed == 1
