"""Pictures that did not come for the request that wanted them: one that comes later is of no later request."""

from __future__ import annotations

import time

from csflow.runtime.errors import FrameError
from csflow.runtime.types import Frame

__all__ = ["Owed"]


class Owed:
    """Counts them. True while a picture that comes may be of a request that has its answer already.

    Pictures come in order, so the next ones are theirs; where none came for a deadline, they never will. A camera that
    dates its pictures by its own clock leaves nothing in doubt.
    """

    def __init__(self) -> None:
        self._count = 0
        self._since_ns = 0
        self._dated = False

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self) -> None:
        """A request has ended without its picture."""
        self._count += not self._dated
        self._since_ns = time.monotonic_ns()

    def takes(self, item: Frame | FrameError) -> bool:
        """Whether a picture, good or bad, belongs to such a request; it is counted off."""
        if isinstance(item, Frame) and "clock_error_ns" in item.camera:
            self._dated = True
            self.clear()
        if isinstance(item, FrameError) and item.fault == "lost":
            self.clear()
        if not self._count:
            return False
        self._count -= 1
        self._since_ns = time.monotonic_ns()
        return True

    def forgive(self, came: int, quiet_s: float) -> None:
        """At a request: `came` of them were passed over; the rest is given up where none came for `quiet_s`."""
        self._count = max(0, self._count - came)
        if time.monotonic_ns() - self._since_ns >= quiet_s * 1e9:
            self.clear()

    def clear(self) -> None:
        """Nothing is owed any more: the camera was opened anew."""
        self._count = 0
