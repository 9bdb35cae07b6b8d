"""What gpiod gives for a requested line, played by a test."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from typing import Any

import gpiod

__all__ = ["Lines"]


class Lines:
    """What gpiod gives for a request; the test makes its edges, and takes its chip away."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.released = threading.Event()
        self._events: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()
        self._ready: list[list[Any] | OSError] = []
        self._number = 0

    def edges(self, count: int = 1, lost: int = 0) -> list[int]:
        """Edges now, after some that the kernel had no room for; gives when each came."""
        self._number += lost
        made = []
        for _ in range(count):
            self._number += 1
            made.append(gpiod.EdgeEvent(1, time.monotonic_ns(), 17, self._number, self._number))
        self._events.put(made)
        return [event.timestamp_ns for event in made]

    def unplug(self) -> None:
        self._events.put(OSError(errno.ENODEV, os.strerror(errno.ENODEV)))

    def wait_edge_events(self, timeout: float) -> bool:
        assert not self.released.is_set()
        try:
            self._ready.append(self._events.get(timeout=timeout))
        except queue.Empty:
            return False
        return True

    def read_edge_events(self) -> list[Any]:
        item = self._ready.pop(0)
        if isinstance(item, OSError):
            raise item
        return item

    def release(self) -> None:
        self.released.set()
