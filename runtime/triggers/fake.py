"""A trigger that follows a script, for tests and dry runs of requests that no healthy line makes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from csflow.runtime.errors import EndOfStream
from csflow.runtime.trigger import Request
from csflow.runtime.types import Frame, Result

__all__ = ["FakeTrigger", "Step"]

Step: TypeAlias = "str | Request | BaseException | float | None"


class FakeTrigger:
    """Plays its script, one step a call of `next`, then ends; remembers what it was told.

    A step is the id of a request that is made now, a whole Request, None (a call that times out), an exception to
    raise, or a float: seconds to sleep whatever the timeout.
    """

    def __init__(self, script: Iterable[Step], name: str = "fake") -> None:
        self.name = name
        self.closed = False
        self.exposures: list[tuple[Request, Frame]] = []
        self.answers: list[tuple[Request, Result]] = []
        self._script: Iterator[Step] = iter(script)

    def next(self, timeout_s: float) -> Request | None:
        """Play one step."""
        if self.closed:
            raise EndOfStream
        for step in self._script:
            if isinstance(step, float):
                time.sleep(step)
                continue
            return self._play(step, timeout_s)
        raise EndOfStream

    def _play(self, step: str | Request | BaseException | None, timeout_s: float) -> Request | None:
        if isinstance(step, BaseException):
            raise step
        if step is None:
            time.sleep(timeout_s)
            return None
        return step if isinstance(step, Request) else Request(step, time.monotonic_ns())

    def exposed(self, request: Request, frame: Frame) -> None:
        """Remember it."""
        self.exposures.append((request, frame))

    def answer(self, request: Request, result: Result) -> None:
        """Remember it."""
        self.answers.append((request, result))

    def close(self) -> None:
        """Ask for nothing more."""
        self.closed = True

    def __enter__(self) -> FakeTrigger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
