"""Detector: a bundle and its engine as one object that turns pictures into results."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle import Bundle, default_path
from csflow.runtime.decision import Calibration, load_calibration
from csflow.runtime.engine import CameraEngine, Engine, open_engine
from csflow.runtime.errors import CalibrationError, InferenceError
from csflow.runtime.preprocess import preprocess, to_rgb
from csflow.runtime.types import Frame, Prediction, Result, Verdict

__all__ = ["Detector"]


class Detector:
    """Turns pictures into verdicts. Use it in `with`; one thread at a time.

    The engine is the caller's to choose (`open_engine`); `Detector.open` does it by default.
    """

    def __init__(self, bundle: Bundle, engine: Engine, calibration: Calibration) -> None:
        self.bundle = bundle
        self.engine = engine
        self.calibration = calibration

    @classmethod
    def open(cls, path: Path | str | None = None, backend: str = "auto") -> Detector:
        """Open a bundle (default: `$CSFLOW_BUNDLE` or model.csflow) with an engine for this machine.

        Raises:
            BundleError, BundleCorrupted, BundleVersionError: the bundle cannot be used.
            CalibrationError: it has no thresholds, so no part could be called OK.
            EngineError: no engine can be opened for it, or it does not decide on the golden frames as the
                trained model did.
        """
        bundle = Bundle.open(default_path() if path is None else path)
        calibration = load_calibration(bundle)
        if calibration is None:
            raise CalibrationError(
                f"bundle {bundle.path} has no thresholds: run 'csflow calibrate DIR' with good parts"
            )
        return cls(bundle, open_engine(bundle, backend, calibration), calibration)

    def detect(self, image: NDArray[np.uint8] | Image.Image | Frame) -> Result:
        """The result for one picture.

        Args:
            image: (H, W, 3) uint8 RGB array, a Pillow image, or a frame.

        Raises:
            SourceError: the picture cannot be used.
            InferenceError: the engine failed.
        """
        if isinstance(image, Image.Image):
            image = np.asarray(to_rgb(image))
        frame = image if isinstance(image, Frame) else Frame(image)
        return self.detect_batch([frame])[0]

    def detect_batch(self, frames: Sequence[Frame]) -> list[Result]:
        """The results for several frames, in their order; raises as `detect` does."""
        predictions = self._predict(frames)
        if len(predictions) != len(frames):
            given = f"{len(predictions)} predictions for {len(frames)} frames"
            raise InferenceError(f"engine {self.engine.name} gave {given}; expected one each: report it")
        return [self._result(f, p) for f, p in zip(frames, predictions, strict=True)]

    def _predict(self, frames: Sequence[Frame]) -> list[Prediction]:
        engine, how = self.engine, self.bundle.manifest.preprocessing
        one_format = len({frame.image.shape for frame in frames}) == 1
        if isinstance(engine, CameraEngine) and one_format and all(engine.takes(frame.image) for frame in frames):
            return engine.infer_camera(frames)
        return engine.infer([Frame(preprocess(f.image, how), f.index, f.captured_ns, f.source) for f in frames])

    def _result(self, frame: Frame, prediction: Prediction) -> Result:
        if prediction.anomaly_map.ndim != 2 or prediction.anomaly_map.size == 0:
            shape = prediction.anomaly_map.shape
            raise InferenceError(f"engine {self.engine.name} gave a map of {shape}; expected (h, w): report it")
        score = float(prediction.score) if np.isfinite(prediction.anomaly_map).all() else math.nan
        verdict = self.calibration.verdict(score)
        return Result(
            verdict=verdict,
            score=score,
            threshold=self.calibration.reject_threshold,
            p_value=self.calibration.p_value(score),
            anomaly_map=prediction.anomaly_map,
            peak_xy=self._peak(frame, prediction) if verdict is not Verdict.ERROR else (-1, -1),
            reason=self._reason(verdict, score),
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            latency_s=(time.monotonic_ns() - frame.captured_ns) / 1e9,
            source=frame.source,
        )

    def _peak(self, frame: Frame, prediction: Prediction) -> tuple[int, int]:
        rows, columns = prediction.anomaly_map.shape
        row, column = divmod(int(np.argmax(prediction.anomaly_map)), columns)
        height, width = frame.image.shape[:2]
        left, top, roi_width, roi_height = self.bundle.manifest.preprocessing.roi or (0, 0, width, height)
        return (left + int((column + 0.5) * roi_width / columns), top + int((row + 0.5) * roi_height / rows))

    def _reason(self, verdict: Verdict, score: float) -> str:
        if verdict is Verdict.ERROR:
            return "the engine gave a score that is not a positive number, or a map that is not finite"
        if verdict is Verdict.NOK:
            return f"score {score:.4g} above reject threshold {self.calibration.reject_threshold:.4g}"
        if verdict is Verdict.UNCERTAIN:
            return f"score {score:.4g} above warn threshold {self.calibration.warn_threshold:.4g}"
        return ""

    def close(self) -> None:
        """Release the engine. May be called twice."""
        self.engine.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
