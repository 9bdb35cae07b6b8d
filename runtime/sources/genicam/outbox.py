"""What the driver's process has to tell, and the thread that tells it: a slow reader gets the newest pictures."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from csflow.runtime.sources.genicam.packets import write_packet

__all__ = ["Outbox"]

CLOSE_S = 1.0


class Outbox:
    """Messages in their order; of pictures that wait, the oldest is dropped where there are too many."""

    def __init__(self, handle: int, depth: int) -> None:
        """Start the thread.

        Args:
            handle: descriptor to write to.
            depth: pictures that may wait.
        """
        self._handle = handle
        self._depth = depth
        self._waiting: deque[tuple[Mapping[str, Any], NDArray[Any] | None]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, told: Mapping[str, Any]) -> None:
        """Send a message without a picture. Whether the camera is there is told anew, and waits once."""
        with self._changed:
            if told["event"] == "idle" and any(waiting["event"] == "idle" for waiting, _ in self._waiting):
                return
            self._waiting.append((told, None))
            self._changed.notify()

    def warn(self, message: str) -> None:
        """Send words for the log."""
        self.tell({"event": "warning", "message": message})

    def picture(self, told: Mapping[str, Any], image: NDArray[Any]) -> None:
        """Send a picture; with it goes how many were dropped so far."""
        with self._changed:
            waiting = [item for item in self._waiting if item[1] is not None]
            if len(waiting) >= self._depth:
                self._dropped += 1
                self._waiting.remove(waiting[0])
            shape = {"shape": list(image.shape), "dtype": str(image.dtype), "dropped": self._dropped}
            self._waiting.append(({**told, **shape}, image))
            self._changed.notify()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                write_packet(self._handle, *item)
        except OSError:
            pass  # nobody reads any more: standard input ends as well

    def _next(self) -> tuple[Mapping[str, Any], NDArray[Any] | None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Send what waits, as far as it is taken within a moment."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
