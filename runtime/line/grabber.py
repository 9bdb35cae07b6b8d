"""A thread that reads a camera, and the few frames that wait until somebody takes them."""

from __future__ import annotations

import threading
import time
from collections import deque

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.source import FrameSource
from csflow.runtime.types import Frame

__all__ = ["Grabber"]

POLL_S = 0.2
JOIN_S = 2.0
WAITING_BYTES = 1 << 30
"""Frames that wait hold no more together; of larger ones a single one waits."""


class Grabber:
    """A source that reads another in its own thread and hands out its newest frames.

    At most `depth` frames wait, of large ones fewer; when one more comes, the oldest is dropped and counted. With a
    depth of 1 a late reader gets the newest frame. The time limit of `read` holds even where the inner source hangs in
    its driver. Takes over the inner source: the thread that reads it also closes it.
    """

    live = True

    def __init__(self, source: FrameSource, depth: int = 1, wake: threading.Condition | None = None) -> None:
        """Start the thread.

        Args:
            source: an opened source.
            depth: how many frames may wait.
            wake: notified when a frame came; one for several grabbers lets a reader wait for any of them.
        """
        self.name = source.name
        self.dropped = 0
        """Frames that were replaced by newer ones before anybody took them."""
        self._source = source
        self._changed = wake or threading.Condition()
        self._depth = depth
        self._waiting: deque[Frame | FrameError] = deque()
        self._held = 0
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._returned_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"csflow-reader {source.name}", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether `poll` has something to give or to raise."""
        return bool(self._waiting) or self._failure is not None

    @property
    def hanging_s(self) -> float:
        """Seconds since the inner source last answered at all; it should do so several times a second."""
        return 0.0 if self._failure is not None else time.monotonic() - self._returned_s

    def poll(self) -> Frame | None:
        """The oldest frame that waits, or None; then how the inner source ended. Does not wait."""
        with self._changed:
            item = self._waiting.popleft() if self._waiting else None
            self._held -= 0 if item is None else _size(item)
            if item is None and self._failure is not None:
                raise self._failure
        if isinstance(item, FrameError):
            raise item
        return item

    def read(self, timeout_s: float) -> Frame | None:
        """As `poll`, after waiting up to `timeout_s` for something to come."""
        with self._changed:
            self._changed.wait_for(lambda: self.ready, timeout_s)
        return self.poll()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that reads
            self._end(error)
        finally:
            self._source.close()

    def _step(self) -> None:
        item: Frame | FrameError | None
        try:
            item = self._source.read(POLL_S)
        except FrameError as error:
            item = error
        self._returned_s = time.monotonic()
        if item is not None:
            with self._changed:
                self._store(item)
                self._changed.notify_all()

    def _store(self, item: Frame | FrameError) -> None:
        self._held += _size(item)
        while self._waiting and (len(self._waiting) >= self._depth or self._held > WAITING_BYTES):
            self._held -= _size(self._waiting.popleft())
            self.dropped += 1
        self._waiting.append(item)

    def _end(self, error: Exception) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the thread; after `JOIN_S` seconds a source that hangs is left to it."""
        self._stop.set()
        self._thread.join(JOIN_S)
        with self._changed:
            self._waiting.clear()
            self._held = 0
            self._failure = EndOfStream()

    def __enter__(self) -> Grabber:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _size(item: Frame | FrameError) -> int:
    return item.image.nbytes if isinstance(item, Frame) else 0
