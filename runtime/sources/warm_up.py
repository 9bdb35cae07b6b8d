"""A camera whose first pictures nobody judges: exposure and white balance settle after it was opened."""

from __future__ import annotations

import time
from dataclasses import replace

from csflow.runtime.errors import FrameError
from csflow.runtime.picture.origin import decoder_of
from csflow.runtime.source import FrameSource
from csflow.runtime.types import Frame

__all__ = ["WARM_UP_S", "WarmingUp"]

WARM_UP_S = {"aravis": 1.0, "camera": 1.0, "csi": 1.0, "genicam": 1.0, "pylon": 1.0}
"""Seconds by kind of source; what is not named runs before csflow connects, or exposes nothing."""


class WarmingUp:
    """Gives the frames of a source from `seconds` after its opening on, and numbers them from there."""

    def __init__(self, source: FrameSource, seconds: float) -> None:
        """Take over a source that has just been opened."""
        self.name = source.name
        self.live = source.live
        self.decoder = decoder_of(source)
        """As the source's."""
        self._source = source
        self._until_ns = time.monotonic_ns() + int(seconds * 1e9)
        self._skipped = 0

    @property
    def left_s(self) -> float:
        """Seconds until its pictures are judged; 0 once they are."""
        return max(0.0, (self._until_ns - time.monotonic_ns()) / 1e9)

    def read(self, timeout_s: float) -> Frame | None:
        """As the source's; None also for what was taken too early."""
        try:
            frame = self._source.read(timeout_s)
        except FrameError as error:
            if self._early(time.monotonic_ns(), error.index):
                return None
            raise FrameError(str(error), error.index - self._skipped, error.source, error.fault) from None
        if frame is None or self._early(frame.captured_ns, frame.index):
            return None
        return replace(frame, index=frame.index - self._skipped)

    def _early(self, taken_ns: int, index: int) -> bool:
        early = taken_ns < self._until_ns
        if early:
            self._skipped = index + 1
        return early

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def __enter__(self) -> WarmingUp:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
