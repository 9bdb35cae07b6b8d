"""Requests on their way from the thread that hears them to the one that answers."""

from __future__ import annotations

import threading
import time
from collections import deque

from csflow.runtime.errors import EndOfStream
from csflow.runtime.trigger import Request
from csflow.runtime.types import Frame, Result

__all__ = ["MAX_ID", "MAX_PENDING", "MAX_WAITING", "Pending", "PendingTrigger", "short"]

MAX_PENDING = 16
"""Requests that may wait; a further one is missed."""
MAX_WAITING = 1000
"""Missed ones with them; of a flood no more are read before some were answered."""
MAX_ID = 64
"""Longest id of a request or a part in characters; what is longer is cut."""


class Pending:
    """Requests in the order of their arrival, from one thread to another."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._end: Exception | None = None
        self._count = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

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
        since_ns = time.monotonic_ns() if since_ns is None else since_ns
        with self._changed:
            self._count += 1
            missed = missed or len(self._waiting) >= MAX_PENDING
            request = Request(short(name) or str(self._count), since_ns, short(part), deadline_s, missed)
            self._waiting.append(request)
            self._changed.notify_all()
        return request

    def wait_for_room(self) -> None:
        """For a thread that reads requests, before each: one that is flooded reads no faster than they are answered."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING or self._end is not None)

    def end(self, why: Exception | None = None) -> None:
        """No more will come; `next` raises the first reason, EndOfStream where there is none."""
        with self._changed:
            self._end = self._end or why or EndOfStream()
            self._changed.notify_all()

    def next(self, timeout_s: float) -> Request | None:
        """As `Trigger.next`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._end is not None, timeout_s)
            if self._waiting:
                self._changed.notify_all()
                return self._waiting.popleft()
            if self._end is not None:
                raise self._end
        return None


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
