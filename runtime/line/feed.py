"""A camera or a folder as the loop of the line sees it: what it gives next, and whether it is there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from csflow.runtime.errors import EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.line.grabber import Grabber
from csflow.runtime.source import FrameSource, TriggeredSource
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.sources.watch import WatchSource
from csflow.runtime.types import Frame

__all__ = ["Feed", "Mapped"]

Mapped = Callable[[NDArray[Any]], NDArray[Any]]
"""What makes 8 bits of a picture's levels, or raises SourceError."""


class Feed:
    """One source with its thread (live sources only) and its patience."""

    def __init__(
        self, source: FrameSource, silence_s: float, depth: int, wake: threading.Condition, mapped: Mapped | None = None
    ) -> None:
        self.name = source.name
        self.live = source.live
        self.away = ""
        """Why the camera is away, in words; empty while it is there."""
        self.ended = False
        self._comes_back = source if isinstance(source, Reconnecting) else None
        self._folder = source if isinstance(source, WatchSource) else None
        self._grabber = Grabber(source, depth, wake) if source.live else None
        self._source: FrameSource = self._grabber or source
        self._silence_s = silence_s
        self._map = mapped
        self._inner = source
        self._given = 0
        self._only_bad: FrameError | None = None
        self._heard_ns = self._good_ns = time.monotonic_ns()

    @property
    def ready(self) -> bool:
        """Whether `poll` need not wait: there is a frame, an end, or a file."""
        return not self.ended and self._folder is None and (self._grabber is None or self._grabber.ready)

    def fire(self) -> None:
        """Let the camera expose, where it waits for that."""
        if isinstance(self._inner, TriggeredSource):
            self._inner.fire()

    @property
    def waits(self) -> bool:
        """Whether the camera exposes only when it is told to."""
        return isinstance(self._inner, TriggeredSource) and self._inner.waits

    def look(self) -> None:
        """Note what appears in a watched folder while nobody asks, and when."""
        if self._folder is not None:
            self._folder.look()

    def leave_out(self, before_ns: int) -> int:
        """Pass over what appeared in a watched folder before a request; how many pictures that were."""
        return 0 if self._folder is None else self._folder.leave_out(before_ns)

    @property
    def reconnects(self) -> int:
        """How often the camera came back."""
        return 0 if self._comes_back is None else self._comes_back.reconnects

    def poll(self, timeout_s: float = 0.0) -> Frame | FrameError | None:
        """What the source gives next; None at its end (`ended`) and when nothing came in `timeout_s` (files: any time).

        Raises:
            SourceLost: no frame, or only bad ones, came for too long, and the source does not come back by itself.
            SourceError: it never gave a frame.
        """
        if self.ended:
            return None
        try:
            item = self._take(timeout_s)
        except EndOfStream:
            self.ended = True
            return None
        return self._waited() if item is None else self._got(item)

    def _take(self, timeout_s: float) -> Frame | FrameError | None:
        try:
            return self._source.read(timeout_s)
        except FrameError as error:
            return error

    def _got(self, item: Frame | FrameError) -> Frame | FrameError:
        self._given += 1
        self._heard_ns = time.monotonic_ns()
        if isinstance(item, Frame):
            self._good_ns = self._heard_ns
            self.away = ""
            item = self._mapped(item)
        elif item.fault == "lost":
            self.away = str(item)
        elif self.live and self._comes_back is None and self._heard_ns - self._good_ns > self._silence_s * 1e9:
            self._only_bad = item
        return item

    def _mapped(self, frame: Frame) -> Frame | FrameError:
        """A picture of more than 8 bits by the model's window: what all that follow check, judge and show."""
        if self._map is None:
            return frame
        try:
            image = self._map(frame.image)
        except SourceError as error:
            return FrameError(str(error), frame.index, frame.source)
        return frame if image is frame.image else replace(frame, image=image, levels=frame.image)

    def check(self) -> None:
        """Raise SourceLost once a camera that does not come back gave only bad frames for too long."""
        if self._only_bad is not None:
            raise SourceLost(f"{self.name} gave only bad frames for {self._silence_s:g} s, the last: {self._only_bad}")

    def _waited(self) -> FrameError | None:
        if self.waits:
            self._heard_ns = time.monotonic_ns()
        silent = time.monotonic_ns() - self._heard_ns > self._silence_s * 1e9
        if self._comes_back is None and self._folder is None and silent:
            raise self._silence()
        hanging = self._grabber is not None and self._grabber.hanging_s > self._silence_s
        if self._comes_back is not None and hanging and not self.away:
            self.away = f"{self.name} has hung in its driver for {self._silence_s:g} s: unplug it, or use a gst: source"
            return FrameError(self.away, -1, self.name, "lost")
        return None

    def _silence(self) -> SourceError:
        if self._given:
            return SourceLost(
                f"{self.name} was silent for {self._silence_s:g} s: check cable and power, or raise --timeout"
            )
        return SourceError(
            f"{self.name} gave no frame within {self._silence_s:g} s: check its trigger, or raise --timeout"
        )

    def close(self) -> None:
        """Close the source."""
        with contextlib.suppress(SourceError):
            self._source.close()
