"""A line on standard input as trigger: what a gateway prints, one request a line; an empty line is none."""

from __future__ import annotations

import os
import select
import sys
import threading

from csflow.runtime.errors import ConfigError
from csflow.runtime.trigger import no_trigger
from csflow.runtime.triggers.pending import PendingTrigger

__all__ = ["LineTrigger", "open_stdin"]

CHUNK = 65536
MAX_LINE = 4096
"""Bytes of one line that are kept: who never ends a line must not fill the memory."""


class LineTrigger(PendingTrigger):
    """One request a line of a file descriptor, stamped when it was read; the results go to the sinks alone."""

    def __init__(self, descriptor: int, name: str = "stdin", blank: bool = False) -> None:
        """Read in a thread of its own, which `close` ends; the descriptor stays the caller's.

        Args:
            blank: whether an empty line, the key Enter, is a request too.
        """
        super().__init__(name)
        self._blank = blank
        self._descriptor = descriptor
        self._rest = b""
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._read, name="csflow-trigger", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Never inside a read that only the other side can end: an interpreter that ends then would abort.
        waiting = select.poll()
        for descriptor in (self._descriptor, self._stopped):
            waiting.register(descriptor, select.POLLIN)
        try:
            while self._stopped not in dict(waiting.poll()):
                if not self._take(os.read(self._descriptor, CHUNK)):
                    break
        except OSError:
            pass  # closed while it was read: no more requests, as at its end
        self._pending.end()

    def _take(self, chunk: bytes) -> bool:
        """Make requests of the lines that this ends; False at the end of all, which ends the last line."""
        *lines, rest = (self._rest + (chunk or b"\n")).split(b"\n")
        self._rest = rest[:MAX_LINE]
        if not chunk and not rest and not lines[-1]:
            lines.pop()  # the end of all, which was no key
        for line in lines:
            if (name := line[:MAX_LINE].decode("utf-8", "replace").strip()) or self._blank:
                self._pending.wait_for_room()
                self._pending.add(name)
        return bool(chunk)

    def close(self) -> None:
        """Read no more. May be called twice."""
        super().close()
        if self._stop >= 0:
            os.close(self._stop)
            self._thread.join()
            os.close(self._stopped)
            self._stop = -1


def open_stdin(text: str) -> LineTrigger:
    """The trigger 'stdin'. Raises ConfigError for any other text, and where standard input is closed."""
    if text != "stdin":
        raise no_trigger(text)
    if sys.stdin is None:
        raise ConfigError("standard input is closed: start csflow with a pipe there, or name another trigger")
    return LineTrigger(sys.stdin.fileno())
