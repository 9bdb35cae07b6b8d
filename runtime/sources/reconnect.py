"""A camera that comes, or comes back: what is lost is opened again, with patience that grows."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace

from csflow.runtime.errors import CSFlowError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.picture.origin import decoder_of
from csflow.runtime.source import FrameSource, TriggeredSource
from csflow.runtime.types import Frame

__all__ = ["BACKOFF_S", "Reconnecting"]

BACKOFF_S = (0.2, 3.0)
"""Seconds before the first attempt and at most before any other; doubled in between."""


class Reconnecting:
    """A live source that is opened again when it fails, falls silent, or gives only bad frames.

    The loss is told once, as a FrameError whose fault is 'lost'; until the camera is back, reads time out. Opening
    it again applies and reads back its settings, as the first opening did. Indices go on counting.
    """

    live = True

    def __init__(
        self,
        opener: Callable[[], FrameSource],
        silence_s: float,
        give_up_s: float = math.inf,
        source: FrameSource | None = None,
        *,
        absent: tuple[str, str] | None = None,
    ) -> None:
        """Open the source for the first time, unless it is open or known to be absent; raises as `opener` does.

        Args:
            opener: opens the source.
            silence_s: longest time in seconds without a good frame.
            give_up_s: how long in seconds to try to open it again.
            source: the source, where it is open already.
            absent: name of a camera that is not there yet, and why; it is waited for as after a loss.
        """
        self._opener = opener
        self._silence_s = silence_s
        self._give_up_s = give_up_s
        self._source: FrameSource | None = None
        self.name, self._absent = absent or ("", "")
        if absent is None:
            self._source = source or opener()
            self.name = self._source.name
        self.reconnects = 0
        """How often the camera came back."""
        self._offset = self._next = 0
        self._worked = False
        self._good_s = time.monotonic()
        self._away_s: float | None = None
        self._wait_s = self._due_s = 0.0
        self._told = ""
        self._closed = False

    @property
    def source(self) -> FrameSource | None:
        """What is behind it now; None while it is away."""
        return self._source

    @property
    def decoder(self) -> str:
        """What makes the pixels; empty while the camera is not there."""
        return "" if self._source is None else decoder_of(self._source)

    @property
    def waits(self) -> bool:
        """Whether it exposes only when it is told to; False while it is not there."""
        return isinstance(self._source, TriggeredSource) and self._source.waits

    def fire(self) -> None:
        """Let it expose, where it waits for that and is there."""
        source = self._source
        if isinstance(source, TriggeredSource):
            source.fire()

    @property
    def away(self) -> bool:
        """Whether it is not there: never yet, or not any more."""
        return bool(self._absent) or self._away_s is not None

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when none came in time, also while the camera is away.

        Raises:
            FrameError: one frame is bad, or (fault 'lost') the camera is gone and is being tried again.
            SourceLost: it did not come back within `give_up_s`.
            SourceError: it never gave a frame within that time.
        """
        if self._closed:
            raise EndOfStream
        reason, self._absent = self._absent, ""
        if reason:
            self._lost(reason)
        try:
            if self._source is None and not self._reopen(timeout_s):
                return None
            assert self._source is not None
            frame = self._source.read(timeout_s)
        except FrameError as error:
            self._bad(error)
            return None
        except CSFlowError as error:
            self._lost(str(error))
            return None
        if frame is None:
            self._silent()
            return None
        return self._good(frame)

    def _good(self, frame: Frame) -> Frame:
        if self._away_s is not None:
            self._away_s, self._told = None, ""
            self.reconnects += self._worked
        self._worked = True
        self._good_s = time.monotonic()
        index = frame.index + self._offset
        self._next = index + 1
        return replace(frame, index=index)

    def _bad(self, error: FrameError) -> None:
        index = error.index + self._offset
        self._next = index + 1
        if time.monotonic() - self._good_s > self._silence_s:
            self._lost(f"{self.name} gave only bad frames for {self._silence_s:g} s, the last: {error}")
            return
        raise FrameError(str(error), index, error.source, error.fault)

    def _silent(self) -> None:
        if self.waits:
            self._good_s = time.monotonic()
        if time.monotonic() - self._good_s > self._silence_s:
            self._lost(f"{self.name} was silent for {self._silence_s:g} s: check cable and power")

    def _reopen(self, timeout_s: float) -> bool:
        wait_s = self._due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(timeout_s, wait_s))
            return False
        self._source = self._opener()
        self._offset = self._next
        self._good_s = time.monotonic()
        return True

    def _lost(self, reason: str) -> None:
        """Set the time of the next attempt; what is new about the loss is told, what is known is not."""
        self._drop()
        now_s = time.monotonic()
        first = self._away_s is None
        away_s = 0.0 if self._away_s is None else now_s - self._away_s
        if away_s >= self._give_up_s:
            kind = SourceLost if self._worked else SourceError
            raise kind(reason + (f"; not there after {away_s:.0f} s" if away_s else ""))
        self._wait_s = BACKOFF_S[0] if first else min(2 * self._wait_s, BACKOFF_S[1])
        self._away_s = now_s - away_s
        self._due_s = now_s + self._wait_s
        if reason != self._told:
            self._told = reason
            raise FrameError(f"{reason}; trying to reach it again", self._next, self.name, "lost")

    def _drop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            with contextlib.suppress(CSFlowError):
                source.close()

    def close(self) -> None:
        """Release the camera."""
        self._closed = True
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Reconnecting:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
