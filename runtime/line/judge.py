"""From what a camera gave to a result: checks, detector, deadline; whatever happens, exactly one result."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from csflow.runtime.detector import Detector
from csflow.runtime.errors import FrameError, InferenceError, SourceError
from csflow.runtime.faults import FaultWord
from csflow.runtime.line.frame_health import CameraHealth, HealthLimits, PictureHealth, reference_of
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["ENGINE_FAILURES", "Case", "Judge"]

ENGINE_FAILURES = 3
ENGINE_HANG_S = 30.0

log = logging.getLogger("csflow.engine")

_Task: TypeAlias = Callable[[], list[Result]]


class Case(NamedTuple):
    """What is to get a result."""

    item: Frame | FrameError
    """A frame, or the reason why there is none."""
    camera: str
    """Its name; each camera is compared with itself."""
    live: bool
    """Whether age and progress matter."""
    trigger: str = ""
    """Id of the trigger that this answers."""
    since_ns: int = 0
    """Monotonic time from which the deadline runs; 0 for the capture."""


class Judge:
    """Turns frames into results; remembers what each camera showed before and how often the engine failed."""

    def __init__(self, detector: Detector, limits: HealthLimits | None = None, deadline_s: float | None = None) -> None:
        """Take a detector, which stays the caller's.

        Args:
            detector: an opened detector. With a deadline it is used by a thread of its own, else by the caller's.
            limits: when a frame counts as unusable; the defaults where None.
            deadline_s: longest time in seconds from capture (or trigger) to verdict. A later answer of the engine is
                thrown away: the result was ERROR already.
        """
        self._detector = detector
        self._limits = limits or HealthLimits()
        self._picture = PictureHealth(self._limits, reference_of(detector.bundle))
        self._cameras: dict[str, CameraHealth] = {}
        self._deadline_s = deadline_s
        self._worker = _Worker() if deadline_s is not None else None
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
                yield position, self.error(item.fault, str(item), case.camera, case.trigger, item.index, item.source)
                continue
            one = _Taken(position, case, item, (time.monotonic_ns() - item.captured_ns) / 1e9)
            health = self._cameras.setdefault(case.camera, CameraHealth(self._limits, case.live))
            if found := health.problem(item, one.age_s):
                yield position, one.told(self._refused(item, *found))
            else:
                taken.append(one)
        if self._worker is not None:
            yield from self._in_time(self._worker, taken)
            return
        for one, result in zip(taken, self._decided([one.frame for one in taken]), strict=True):
            yield one.position, one.told(result)

    def error(
        self, fault: FaultWord, reason: str, camera: str, trigger: str = "", index: int = -1, source: str = ""
    ) -> Result:
        """An ERROR result about no frame."""
        frame = Frame(np.zeros((0, 0, 3), np.uint8), index, time.monotonic_ns(), source or camera)
        return replace(self._refused(frame, fault, reason), camera=camera, trigger=trigger)

    def check(self) -> None:
        """Raise the engine's error once it has failed on too many frames in a row, or hangs."""
        if len(self._failures) >= ENGINE_FAILURES:
            raise self._failures[-1]
        if self._worker is not None and self._worker.busy_s > ENGINE_HANG_S:
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
            image = self._detector.prepare(frame)
        except SourceError as error:
            return "frame", str(error)
        except InferenceError as error:
            self._failures.append(error)
            return "engine", str(error)
        return self._picture.problem(image.image) or _Prepared(frame, image, time.perf_counter() - begun_s)

    def _inferred(self, prepared: Sequence[_Prepared]) -> list[Result]:
        if not prepared:
            return []
        try:
            frames, images, seconds = zip(*((p.frame, p.image, p.seconds) for p in prepared), strict=True)
            results = self._detector.decide(frames, images, seconds)
        except InferenceError as error:
            if len(prepared) > 1:
                log.warning("the engine failed on %d frames together, each is tried alone: %s", len(prepared), error)
                return [result for one in prepared for result in self._inferred([one])]
            self._failures.append(error)
            return [self._refused(prepared[0].frame, "engine", str(error))]
        self._failures.clear()
        return results

    def _in_time(self, worker: _Worker, taken: Sequence[_Taken]) -> Iterator[tuple[int, Result]]:
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
        assert self._deadline_s is not None
        return one.since_ns + int(self._deadline_s * 1e9)

    def _late(self, one: _Taken) -> tuple[int, Result]:
        assert self._deadline_s is not None
        passed_ms = (time.monotonic_ns() - one.since_ns) / 1e6
        reason = f"no verdict within {self._deadline_s * 1e3:g} ms ({passed_ms:.0f} ms have passed)"
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
            latency_s=(time.monotonic_ns() - frame.captured_ns) / 1e9,
            source=frame.source,
            fault=fault,
            verified=not self._detector.distrust,
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
        return self.case.since_ns or self.frame.captured_ns

    def told(self, result: Result) -> Result:
        """The result with what the detector does not know."""
        return replace(result, camera=self.case.camera, trigger=self.case.trigger, age_s=self.age_s)


class _Prepared(NamedTuple):
    frame: Frame
    image: Frame
    """What the engine takes."""
    seconds: float


class _Worker:
    """One thread that runs one thing at a time; whoever waits may leave before it is done."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[_Task, Future[list[Result]]] | None] = queue.SimpleQueue()
        self._current: Future[list[Result]] | None = None
        self._begun_s = 0.0
        threading.Thread(target=self._run, name="csflow-engine", daemon=True).start()

    @property
    def busy_s(self) -> float:
        """Seconds since the task that nobody waits for any more began; 0 when there is none."""
        return 0.0 if self._current is None or self._current.done() else time.monotonic() - self._begun_s

    def free_before(self, deadline_ns: int) -> bool:
        """Whether the task before is done by then; waits for it."""
        if self._current is not None and not self._current.done():
            with contextlib.suppress(FutureTimeout):
                self._current.exception(_left_s(deadline_ns))
            if not self._current.done():
                return False
        return time.monotonic_ns() < deadline_ns

    def start(self, task: _Task) -> None:
        """Begin a task; only where it is free."""
        self._current, self._begun_s = Future(), time.monotonic()
        self._tasks.put((task, self._current))

    def answer_before(self, deadline_ns: int) -> list[Result] | None:
        """What the task gives, or None where it is not done by then; raises what it raises."""
        assert self._current is not None
        try:
            return self._current.result(_left_s(deadline_ns))
        except FutureTimeout:
            return None

    def _run(self) -> None:
        while (work := self._tasks.get()) is not None:
            task, future = work
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                future.set_exception(error)

    def close(self) -> None:
        """End the thread after what it does."""
        self._tasks.put(None)
        if self._current is not None and not self._current.done():
            with contextlib.suppress(FutureTimeout):
                self._current.exception(1.0)


def _left_s(deadline_ns: int) -> float:
    return max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
