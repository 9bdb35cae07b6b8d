"""One thread for the engine, so that a result need not wait for it beyond its deadline."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeAlias

from csflow.runtime.types import Result

__all__ = ["EngineThread", "Task"]

CLOSE_S = 1.0

Task: TypeAlias = Callable[[], list[Result]]


class EngineThread:
    """One thread that runs one thing at a time; whoever waits may leave before it is done."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Task, Future[list[Result]]] | None] = queue.SimpleQueue()
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

    def start(self, task: Task) -> None:
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
        """End the thread after what it does; one that hangs is left alone after `CLOSE_S` seconds."""
        self._tasks.put(None)
        if self._current is not None and not self._current.done():
            with contextlib.suppress(FutureTimeout):
                self._current.exception(CLOSE_S)


def _left_s(deadline_ns: int) -> float:
    return max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
