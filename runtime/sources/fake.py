"""A source that follows a script, for tests and dry runs of faults that no healthy camera shows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import EndOfStream
from csflow.runtime.types import Frame

__all__ = ["FakeSource", "Step"]

Step: TypeAlias = "NDArray[np.uint8] | Frame | BaseException | float | None"


class FakeSource:
    """Plays its script, one step a read, then ends.

    A step is a picture (H, W, 3) uint8 (it gets the next index), a whole Frame, None (a read that times
    out), an exception to raise, or a float: seconds to sleep whatever the timeout (a device that hangs).
    """

    def __init__(self, script: Iterable[Step], live: bool = False, name: str = "fake") -> None:
        self.name = name
        self.live = live
        self.closed = False
        self._script: Iterator[Step] = iter(script)
        self._next = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Play one step."""
        if self.closed:
            raise EndOfStream
        for step in self._script:
            if isinstance(step, float):
                time.sleep(step)
                continue
            return self._play(step, timeout_s)
        raise EndOfStream

    def _play(self, step: NDArray[np.uint8] | Frame | BaseException | None, timeout_s: float) -> Frame | None:
        if isinstance(step, BaseException):
            raise step
        if step is None:
            time.sleep(timeout_s)
            return None
        frame = step if isinstance(step, Frame) else Frame(step, self._next, source=f"{self.name}#{self._next}")
        self._next = frame.index + 1
        return frame

    def close(self) -> None:
        """Deliver no more frames."""
        self.closed = True

    def __enter__(self) -> FakeSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
