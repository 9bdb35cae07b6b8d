"""From what a camera gave to a result: checks, detector, deadline; whatever happens, exactly one result."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace

import numpy as np

from csflow.runtime.detector import Detector
from csflow.runtime.errors import FrameError, InferenceError, SourceError
from csflow.runtime.frame_health import CameraHealth, HealthLimits, PictureHealth, reference_of
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["ENGINE_FAILURES", "Judge"]

ENGINE_FAILURES = 3
ENGINE_HANG_S = 30.0


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

    def result(self, item: Frame | FrameError, camera: str, live: bool, trigger: str = "", since_ns: int = 0) -> Result:
        """The result for a frame, or for the reason why there is none.

        Args:
            item: what the camera gave.
            camera: its name; each camera is compared with itself.
            live: whether age and progress matter.
            trigger: id of the trigger that this answers.
            since_ns: monotonic time from which the deadline runs; 0 for the capture.
        """
        if isinstance(item, FrameError):
            return self.error(item.fault, str(item), camera, trigger, item.index, source=item.source)
        health = self._cameras.setdefault(camera, CameraHealth(self._limits, live))
        age_s = (time.monotonic_ns() - item.captured_ns) / 1e9
        if found := health.problem(item, age_s):
            result = self._refused(item, *found)
        elif self._worker is None:
            result = self._decided(item)
        else:
            result = self._in_time(self._worker, item, since_ns or item.captured_ns)
        return replace(result, camera=camera, trigger=trigger, age_s=age_s)

    def error(
        self, fault: str, reason: str, camera: str, trigger: str = "", index: int = -1, source: str = ""
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

    def _decided(self, frame: Frame) -> Result:
        try:
            begun_s = time.perf_counter()
            prepared = self._detector.prepare(frame)
            if found := self._picture.problem(prepared.image):
                return self._refused(frame, *found)
            (result,) = self._detector.decide([frame], [prepared], time.perf_counter() - begun_s)
        except SourceError as error:
            return self._refused(frame, "frame", str(error))
        except InferenceError as error:
            self._failures.append(error)
            return self._refused(frame, "engine", str(error))
        self._failures.clear()
        return result

    def _in_time(self, worker: _Worker, frame: Frame, since_ns: int) -> Result:
        assert self._deadline_s is not None
        deadline_ns = since_ns + int(self._deadline_s * 1e9)
        answer = worker.run(lambda: self._decided(frame), (deadline_ns - time.monotonic_ns()) / 1e9)
        took_s = (time.monotonic_ns() - since_ns) / 1e9
        if answer is None or took_s > self._deadline_s:
            return self._refused(
                frame,
                "deadline",
                f"no verdict within {self._deadline_s * 1e3:g} ms ({took_s * 1e3:.0f} ms have passed)",
            )
        return answer

    def _refused(self, frame: Frame, fault: str, reason: str) -> Result:
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


class _Worker:
    """One thread that runs one thing at a time; whoever waits may leave before it is done."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Result], Future[Result]] | None] = queue.SimpleQueue()
        self._current: Future[Result] | None = None
        self._begun_s = 0.0
        threading.Thread(target=self._run, name="csflow-engine", daemon=True).start()

    @property
    def busy_s(self) -> float:
        """Seconds since the task that nobody waits for any more began; 0 when there is none."""
        return 0.0 if self._current is None or self._current.done() else time.monotonic() - self._begun_s

    def run(self, task: Callable[[], Result], timeout_s: float) -> Result | None:
        """What `task` gives, or None where it was not done in time; raises what it raises."""
        end_s = time.monotonic() + timeout_s
        if self._current is not None and not self._current.done():
            with contextlib.suppress(FutureTimeout):
                self._current.exception(max(0.0, timeout_s))
            if not self._current.done():
                return None
        if time.monotonic() >= end_s:
            return None
        self._current, self._begun_s = Future(), time.monotonic()
        self._tasks.put((task, self._current))
        try:
            return self._current.result(max(0.0, end_s - time.monotonic()))
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
