"""Talking to systemd (sd_notify(3)): ready, alive, stopping. Does nothing where $NOTIFY_SOCKET is not set."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Service"]


class Service:
    """Tells the service manager what this process does.

    `beat` is for the inspection loop to call at each turn: it says READY at the first one and feeds the watchdog, at
    most four times a watchdog period. A loop that hangs, in an engine or in a disk that evidence is written to, is not
    fed, and systemd starts the service again. A line that stands still is fed: its loop turns.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period_s = _watchdog_s(environment) / 4
        self._next_s = 0.0
        self._ready = False

    def beat(self) -> None:
        """The inspection loop has turned."""
        if not self._ready:
            self._ready = True
            self._send("READY=1\nSTATUS=inspecting")
        now_s = time.monotonic()
        if self._period_s and now_s >= self._next_s:
            self._next_s = now_s + self._period_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """An orderly end has begun: what is queued is written, and the summary printed."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that does not listen must not stop the line.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), name)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """The period in seconds; 0 without a watchdog, or where it is for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() else 0.0
