"""Requests on their way from the thread that hears them to the one that answers."""

from __future__ import annotations

import queue
import threading
import time

from csflow.runtime.errors import EndOfStream
from csflow.runtime.trigger import Request
from csflow.runtime.types import Frame, Result

__all__ = ["MAX_ID", "MAX_PENDING", "Pending", "PendingTrigger", "short"]

MAX_PENDING = 16
"""Requests that may wait; a further one is missed."""
MAX_ID = 64
"""Longest id of a request or a part in characters; what is longer is cut."""


class Pending:
    """Requests in the order of their arrival, from one thread to another."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Request | Exception] = queue.SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        since_ns: int | None = None,
        *,
        part: str = "",
        deadline_s: float | None = None,
        missed: bool = False,
    ) -> Request:
        """A new request, with its number as id where it has no name; missed also where too many wait."""
        with self._lock:
            self._count += 1
            number = self._count
        missed = missed or self._queue.qsize() >= MAX_PENDING
        since_ns = time.monotonic_ns() if since_ns is None else since_ns
        request = Request(short(name) or str(number), since_ns, short(part), deadline_s, missed)
        self._queue.put(request)
        return request

    def end(self, why: Exception | None = None) -> None:
        """No more will come; `next` raises the reason, EndOfStream where there is none."""
        self._queue.put(why or EndOfStream())

    def next(self, timeout_s: float) -> Request | None:
        """As `Trigger.next`."""
        try:
            request = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(request, Exception):
            self._queue.put(request)
            raise request
        return request


class PendingTrigger:
    """What triggers have in common: a thread adds to `_pending`, and nobody is told what becomes of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pending = Pending()

    def next(self, timeout_s: float) -> Request | None:
        """The next request; raises as `Trigger.next` does, once all before were given."""
        return self._pending.next(timeout_s)

    def exposed(self, request: Request, frame: Frame) -> None:
        """Nothing: nobody waits for it."""

    def answer(self, request: Request, result: Result) -> None:
        """Nothing: there is no way back; the results go to the sinks alone."""

    def close(self) -> None:
        """Ask for nothing more. May be called twice."""
        self._pending.end()

    def __enter__(self) -> PendingTrigger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def short(text: str) -> str:
    """A name as a request may carry it: printable, at most `MAX_ID` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_ID])
