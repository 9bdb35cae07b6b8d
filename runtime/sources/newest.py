"""The newest frame of a live source, whoever is late: a reader thread and one slot."""

from __future__ import annotations

import threading

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.source import FrameSource
from csflow.runtime.types import Frame

__all__ = ["NewestFrame"]

POLL_S = 0.2
JOIN_S = 2.0


class NewestFrame:
    """A source that reads another in its own thread and hands out its newest frame.

    A frame that nobody took before the next one came is dropped; the gap in `Frame.index` shows it. The time
    limit of `read` holds even where the inner source hangs in its driver. Takes over the inner source: the
    thread that reads it also closes it.
    """

    live = True

    def __init__(self, source: FrameSource) -> None:
        self.name = source.name
        self._source = source
        self._changed = threading.Condition()
        self._newest: Frame | FrameError | None = None
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"csflow-reader {source.name}", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame not handed out yet, waiting up to `timeout_s`; then how the inner source ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._failure is not None, timeout_s)
            item, self._newest = self._newest, None
            if item is None and self._failure is not None:
                raise self._failure
        if isinstance(item, FrameError):
            raise item
        return item

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
        if item is not None:
            with self._changed:
                self._newest = item
                self._changed.notify()

    def _end(self, error: Exception) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify()

    def close(self) -> None:
        """Stop the thread; after `JOIN_S` seconds a source that hangs is left to it."""
        self._stop.set()
        self._thread.join(JOIN_S)
        with self._changed:
            self._newest, self._failure = None, EndOfStream()

    def __enter__(self) -> NewestFrame:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
