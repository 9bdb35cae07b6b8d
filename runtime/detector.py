"""Detector: a bundle and its engine as one object that turns pictures into results."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.contents import Contents
from csflow.runtime.bundle.directory import Bundle, default_path
from csflow.runtime.bundle.golden import GoldenSet, load_golden
from csflow.runtime.bundle.manifest import canonical
from csflow.runtime.bundle.pictures import SizeRule
from csflow.runtime.engine import CameraEngine, DescribedEngine, Engine
from csflow.runtime.engines.golden_check import require_golden
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.opening import open_checked
from csflow.runtime.engines.pictures import batch_of, predict_all
from csflow.runtime.engines.stages import engine_files
from csflow.runtime.engines.trust import distrust
from csflow.runtime.errors import CalibrationError, EngineMismatch, InferenceError, SourceError
from csflow.runtime.pack.origin import read_origin
from csflow.runtime.picture.images import pixels_of
from csflow.runtime.picture.preprocess import Pieces, pieces_of, place
from csflow.runtime.picture.window import clipped_by, eight_bits
from csflow.runtime.types import Frame, Identity, Prediction, Result, Verdict

__all__ = ["Detector"]

CLOSE_S = 2.0


class Detector:
    """Turns pictures into verdicts. Use it in `with`.

    Any thread may call it; calls at the same time are taken one after the other, because an engine already uses what
    the machine has. Open it in the process that uses it: no engine survives a fork.

    The engine is the caller's to choose (`open_engine`); `Detector.open` does it by default.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        calibration: Calibration,
        distrust: str = "",
        golden: GoldenSet | None = None,
        any_size: bool = False,
    ) -> None:
        """A detector whose engine the caller answers for.

        Args:
            distrust: why its results are not verified; empty where they are.
            golden: the golden frames of the bundle where they were read already.
            any_size: take pictures of another size or aspect than the training's in `detect` and `detect_batch`.

        Raises BundleCorrupted where the bundle's record of the pictures it was made with cannot be read.
        """
        self.bundle = bundle
        self.golden = golden
        self.engine = engine
        self.calibration = calibration
        self.distrust = distrust
        # Asked once: whether something fits a protocol takes tens of microseconds.
        self._resizer = engine if isinstance(engine, CameraEngine) else None
        self._sizes = None if any_size else SizeRule(bundle)
        self._turn = threading.Lock()
        self._closed = False
        self._answered_s = time.monotonic()
        # Now, not at the first result: what is on the disk may be another plan then.
        self.identity = _identity(bundle, engine.name, calibration, verified=not distrust)
        """What judges here; every result carries it."""

    @property
    def batch(self) -> int:
        """How many frames the engine computes together, at most; more of them in one call wait for each other."""
        return batch_of(self.engine)

    @property
    def description(self) -> str:
        """What runs where, in one line."""
        return self.engine.describe() if isinstance(self.engine, DescribedEngine) else self.engine.name

    @classmethod
    def open(
        cls, path: Path | str | None = None, backend: str = "auto", unverified: bool = False, any_size: bool = False
    ) -> Detector:
        """Open a bundle (default: `$CSFLOW_BUNDLE` or model.csflow) with an engine for this machine.

        Args:
            unverified: run an engine too that the decision gate has not passed; every result then says so.
            any_size: take pictures of another size or aspect than the training's.

        Raises:
            BundleError, BundleCorrupted, BundleVersionError: the bundle cannot be used.
            CalibrationError: it has no thresholds, so no part could be called OK.
            EngineError: no engine can be opened for it, or it does not decide on the golden frames as the
                trained model did, or the decision gate has not passed it.
        """
        bundle = Bundle.open(default_path() if path is None else path)
        contents = Contents(bundle)
        calibration = contents.calibration
        if calibration is None:
            raise CalibrationError(
                f"bundle {bundle.path} has no thresholds: run 'csflow calibrate DIR' with good parts"
            )
        engine, check = open_checked(contents, backend, calibration)
        try:
            problem = distrust(contents, EngineName.parse(engine.name), check, calibration)
            if problem and not unverified:
                raise EngineMismatch(f"{problem}; run 'csflow verify', or pass --unverified to run it all the same")
            return cls(bundle, engine, calibration, problem, contents.golden, any_size)
        except BaseException:
            engine.close()
            raise

    def detect(self, image: NDArray[Any] | Image.Image | Frame) -> Result:
        """The result for one picture.

        Args:
            image: (H, W, 3) uint8 RGB array, with a window (H, W) or (H, W, 3) uint16, a Pillow image, or a frame.

        Raises:
            SourceError: the picture cannot be used, or has another aspect than the training's pictures or less than
                half their size (with a region or ignored areas: another size at all).
            InferenceError: the engine failed, or the detector is closed.
        """
        if isinstance(image, Image.Image):
            image = pixels_of(image)
        frame = image if isinstance(image, Frame) else Frame(image)
        return self.detect_batch([frame])[0]

    def detect_batch(self, frames: Sequence[Frame]) -> list[Result]:
        """The results for several frames, in their order; raises as `detect` does."""
        inputs, prepare_s = [], []
        for frame in frames:
            begun_s = time.perf_counter()
            self._require_size(frame)
            inputs.append(self.prepare(frame))
            prepare_s.append(time.perf_counter() - begun_s)
        return self.decide(frames, inputs, prepare_s)

    def _require_size(self, frame: Frame) -> None:
        if self._sizes is None or frame.image.ndim < 2 or 0 in frame.image.shape:
            return
        if why := self._sizes.misfit((frame.image.shape[1], frame.image.shape[0])):
            raise SourceError(
                f"{why}, which the model was made with: set the camera to that format, or open with any_size"
            )

    def prepare(self, frame: Frame) -> Pieces:
        """The frame as the engine takes it, resized by the engine's device where that knows the format; tiles are made
        one by one in `decide`.

        Raises SourceError where the picture cannot be used, InferenceError when the engine fails.
        """
        how = self.bundle.manifest.preprocessing
        if frame.levels is not None:
            how = replace(how, window=None)
        if self._resizer is not None and how.tiles is None:
            image = eight_bits(frame.image, how.window)
            if self._resizer.takes(image):
                made, pose = place(self._resizer.resize(image), how, (image.shape[1], image.shape[0]))
                return Pieces(made, how, pose=pose)
        return pieces_of(frame.image, how)

    def decide(
        self,
        frames: Sequence[Frame],
        inputs: Sequence[Pieces],
        prepare_s: Sequence[float],
        answered: Callable[[], None] = lambda: None,
    ) -> list[Result]:
        """The results for frames and what `prepare` made of them in `prepare_s` seconds each.

        Args:
            answered: called after each answer of the engine, of which a picture in tiles takes many.

        Raises InferenceError when the engine fails.
        """
        with self._turn:
            if self._closed:
                raise InferenceError("the detector is closed: open it again with Detector.open")
            begun_ns = time.monotonic_ns()
            predictions = predict_all(self.engine, inputs, frames, (self._note_answer, answered))
        infer_s = (time.monotonic_ns() - begun_ns) / 1e9
        return [
            replace(self._result(f, p), prepare_s=took_s, infer_s=infer_s, batch=len(frames))
            for f, p, took_s in zip(frames, predictions, prepare_s, strict=True)
        ]

    @property
    def silent_s(self) -> float:
        """Seconds since the engine last answered, or since it was opened."""
        return time.monotonic() - self._answered_s

    def _note_answer(self) -> None:
        self._answered_s = time.monotonic()

    def _result(self, frame: Frame, prediction: Prediction) -> Result:
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
            fault="score" if verdict is Verdict.ERROR else "",
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            captured_unix_ns=frame.captured_unix_ns,
            latency_s=(time.monotonic_ns() - frame.captured_ns) / 1e9,
            source=frame.source,
            verified=not self.distrust,
            identity=self.identity,
            tiles=prediction.tiles if verdict is not Verdict.ERROR else None,
            clipped=clipped_by(self.bundle.manifest.preprocessing.window, frame.image, frame.levels),
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

    def self_test(self) -> None:
        """Score the golden frames again.

        Raises EngineMismatch where they do not agree with the trained model any more, InferenceError when the engine
        fails, BundleError where the bundle has no golden frames.
        """
        with self._turn:
            require_golden(self.engine, self.golden or load_golden(self.bundle), self.calibration)

    def close(self) -> None:
        """Release the engine once it has finished its picture. May be called twice, and from any thread.

        An engine that hangs in its picture is left alone after two seconds: releasing it under way could crash.
        """
        self._closed = True
        if self._turn.acquire(timeout=CLOSE_S):
            try:
                self.engine.close()
            finally:
                self._turn.release()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identity(bundle: Bundle, engine: str, calibration: Calibration, verified: bool) -> Identity:
    files = engine_files(bundle, EngineName.parse(engine))
    origin = read_origin(bundle)
    return Identity(
        bundle=bundle.path.resolve().name,
        bundle_sha256=schema.parse_json(bundle.manifest.to_bytes())["manifest_sha256"],
        weights_sha256=bundle.weights_sha256,
        calibration_sha256=hashlib.sha256(schema.dump_json(schema.to_mapping(calibration))).hexdigest(),
        engine=engine,
        engine_sha256=hashlib.sha256(canonical(files).encode()).hexdigest() if files else "",
        warn_threshold=calibration.warn_threshold,
        reject_threshold=calibration.reject_threshold,
        verified=verified,
        pack_sha256="" if origin is None else origin.pack_sha256,
        signed_by="" if origin is None else origin.signer,
    )
