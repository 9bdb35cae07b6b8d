"""From what a camera gave to a result: checks, detector, deadline; whatever happens, exactly one result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.detector import Detector
from csflow.runtime.errors import FrameError, InferenceError, SourceError
from csflow.runtime.faults import FaultWord
from csflow.runtime.line.engine_thread import EngineThread
from csflow.runtime.line.frame_health import (
    CameraHealth,
    HealthLimits,
    PictureHealth,
    SizeHealth,
    reference_of,
    sharpness,
)
from csflow.runtime.picture.preprocess import Pieces
from csflow.runtime.trigger import Request
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["ENGINE_FAILURES", "Case", "Judge"]

ENGINE_FAILURES = 3
ENGINE_HANG_S = 30.0

log = logging.getLogger("csflow.engine")


class Case(NamedTuple):
    """What is to get a result."""

    item: Frame | FrameError
    """A frame, or the reason why there is none."""
    camera: str
    """Its name; each camera is compared with itself."""
    live: bool
    """Whether age and progress matter."""
    request: Request | None = None
    """What this answers; None in a run without triggers."""

    def told(self, result: Result, age_s: float = math.nan) -> Result:
        """The result with what the detector does not know."""
        asked = ("", "") if self.request is None else (self.request.id, self.request.part)
        said = self.item.camera if isinstance(self.item, Frame) else {}
        return replace(result, camera=self.camera, trigger=asked[0], part=asked[1], age_s=age_s, camera_data=said)


class Judge:
    """Turns frames into results; remembers what each camera showed before and how often the engine failed."""

    def __init__(
        self,
        detector: Detector,
        limits: HealthLimits | None = None,
        deadline_s: float | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """Take a detector, which stays the caller's.

        Args:
            detector: an opened detector. With a deadline it is used by a thread of its own, else by the caller's.
            limits: when a frame counts as unusable; the defaults where None.
            deadline_s: longest time in seconds from capture (or trigger) to verdict, where a request has no limit of
                its own. A later answer of the engine is thrown away: the result was ERROR already.
            beat: called after each answer of the engine, where it has no deadline: a picture of many tiles takes long.
        """
        self._detector = detector
        self._limits = limits or HealthLimits()
        self._picture = PictureHealth(self._limits, reference_of(detector))
        self._sizes = SizeHealth(self._limits, detector.bundle)
        self._cameras: dict[str, CameraHealth] = {}
        self._deadline_s = deadline_s
        self._beat = beat if beat is not None and deadline_s is None else lambda: None
        self._worker = EngineThread() if deadline_s is not None else None
        self._failures: list[InferenceError] = []

    def results(self, cases: Sequence[Case]) -> Iterator[tuple[int, Result]]:
        """Position and result of each case, once each, as soon as it is known; of a camera at most one at a time.

        What shows no part comes first. All else is one call of the engine; where that fails, each is tried alone, so
        that no camera's frame costs another one its verdict. With a deadline nothing waits for a frame beyond its own.
        """
        taken: list[_Taken] = []
        for position, case in enumerate(cases):
            item = case.item
            if isinstance(item, FrameError):
                yield position, self._without_frame(case, item)
                continue
            one = _Taken(position, case, item, (time.monotonic_ns() - item.captured_ns) / 1e9)
            health = self._cameras.setdefault(case.camera, CameraHealth(self._limits, case.live))
            if found := health.problem(item, one.age_s) or self._sizes.problem(case.camera, item):
                yield position, one.told(self._refused(item, *found))
            else:
                taken.append(one)
        if self._worker is not None:
            yield from self._in_time(self._worker, taken)
            return
        for one, result in zip(taken, self._decided([one.frame for one in taken]), strict=True):
            yield one.position, one.told(result)

    def _without_frame(self, case: Case, error: FrameError) -> Result:
        frame = Frame(np.zeros((0, 0, 3), np.uint8), error.index, time.monotonic_ns(), error.source or case.camera)
        return case.told(self._refused(frame, error.fault, str(error)))

    def check(self) -> None:
        """Raise the engine's error once it has failed on too many frames in a row, or hangs."""
        if len(self._failures) >= ENGINE_FAILURES:
            raise self._failures[-1]
        # A picture of many tiles may take longer; each tile may not.
        if self._worker is not None and min(self._worker.busy_s, self._detector.silent_s) > ENGINE_HANG_S:
            raise InferenceError(
                f"engine {self._detector.engine.name} has not answered for {ENGINE_HANG_S:g} s: restart the program"
            )

    @property
    def overdue(self) -> bool:
        """Whether the engine still works on a frame whose deadline has passed."""
        return self._worker is not None and self._worker.busy_s > 0.0

    def close(self) -> None:
        """Let go of the thread; the detector stays open."""
        if self._worker is not None:
            self._worker.close()

    def _decided(self, frames: Sequence[Frame]) -> list[Result]:
        """One result each, in their order; what cannot be used is not inferred."""
        prepared = [self._prepared(frame) for frame in frames]
        results = iter(self._inferred([p for p in prepared if isinstance(p, _Prepared)]))
        return [
            next(results) if isinstance(p, _Prepared) else self._refused(frame, *p)
            for frame, p in zip(frames, prepared, strict=True)
        ]

    def _prepared(self, frame: Frame) -> _Prepared | tuple[FaultWord, str]:
        begun_s = time.perf_counter()
        try:
            pieces = self._detector.prepare(frame)
        except SourceError as error:
            return "frame", str(error)
        except InferenceError as error:
            self._failures.append(error)
            return "engine", str(error)
        some, taken = pieces.some(), pieces.as_taken()
        if problem := self._picture.problem(*some, taken=taken):
            return problem
        brightness, sharp = (sum(values) / len(some) for values in (map(_brightness, taken), map(_sharpness, some)))
        return _Prepared(frame, pieces, time.perf_counter() - begun_s, brightness, sharp)

    def _inferred(self, prepared: Sequence[_Prepared]) -> list[Result]:
        if not prepared:
            return []
        try:
            frames, pieces, seconds = zip(*((p.frame, p.pieces, p.seconds) for p in prepared), strict=True)
            results = [
                replace(result, brightness=p.brightness, sharpness=p.sharpness)
                for result, p in zip(self._detector.decide(frames, pieces, seconds, self._beat), prepared, strict=True)
            ]
        except InferenceError as error:
            if len(prepared) > 1:
                log.warning("the engine failed on %d frames together, each is tried alone: %s", len(prepared), error)
                return [result for one in prepared for result in self._inferred([one])]
            self._failures.append(error)
            return [self._refused(prepared[0].frame, "engine", str(error))]
        self._failures.clear()
        return results

    def _in_time(self, worker: EngineThread, taken: Sequence[_Taken]) -> Iterator[tuple[int, Result]]:
        waiting = sorted(taken, key=self._deadline_ns)
        while waiting and not worker.free_before(self._deadline_ns(waiting[0])):
            yield self._late(waiting.pop(0))
        if not waiting:
            return
        worker.start(lambda: self._decided([one.frame for one in waiting]))
        for number, one in enumerate(waiting):
            answers = worker.answer_before(self._deadline_ns(one))
            if answers is None or time.monotonic_ns() > self._deadline_ns(one):
                yield self._late(one)
            else:
                yield one.position, one.told(answers[number])

    def _deadline_ns(self, one: _Taken) -> int:
        return one.since_ns + int(self._limit_s(one) * 1e9)

    def _limit_s(self, one: _Taken) -> float:
        assert self._deadline_s is not None
        return (one.case.request and one.case.request.deadline_s) or self._deadline_s

    def _late(self, one: _Taken) -> tuple[int, Result]:
        passed_ms = (time.monotonic_ns() - one.since_ns) / 1e6
        reason = f"no verdict within {self._limit_s(one) * 1e3:g} ms ({passed_ms:.0f} ms have passed)"
        return one.position, one.told(self._refused(one.frame, "deadline", reason))

    def _refused(self, frame: Frame, fault: FaultWord, reason: str) -> Result:
        return Result(
            verdict=Verdict.ERROR,
            score=math.nan,
            threshold=self._detector.calibration.reject_threshold,
            p_value=math.nan,
            anomaly_map=np.zeros((0, 0), dtype=np.float32),
            peak_xy=(-1, -1),
            reason=reason,
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            captured_unix_ns=frame.captured_unix_ns,
            latency_s=(time.monotonic_ns() - frame.captured_ns) / 1e9,
            source=frame.source,
            fault=fault,
            verified=not self._detector.distrust,
            identity=self._detector.identity,
        )


class _Taken(NamedTuple):
    """A frame that is to be inferred."""

    position: int
    case: Case
    frame: Frame
    age_s: float

    @property
    def since_ns(self) -> int:
        """When its deadline begins to run."""
        return self.frame.captured_ns if self.case.request is None else self.case.request.since_ns

    def told(self, result: Result) -> Result:
        """The result with what the detector does not know."""
        return self.case.told(result, self.age_s)


class _Prepared(NamedTuple):
    frame: Frame
    pieces: Pieces
    """What the engine takes."""
    seconds: float
    brightness: float
    sharpness: float


def _sharpness(image: NDArray[np.uint8]) -> float:
    return sum(sharpness(image))


def _brightness(image: NDArray[np.uint8]) -> float:
    """Of every fourth pixel in every fourth row."""
    return float(image[::4, ::4].mean()) / 255.0
