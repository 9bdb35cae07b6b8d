"""Whether a stream takes what is written to it now: a pipe that nobody empties, or a terminal held by Ctrl-S, does not.

Who writes all the same is stuck in the system until somebody reads, holds the stream's lock, and so keeps the process
from ending.
"""

from __future__ import annotations

import select
from typing import IO, Any

__all__ = ["writable"]


def writable(stream: IO[Any] | None, timeout_s: float) -> bool:
    """Wait until `stream` takes a line or two (a pipe: 4096 bytes); False where it does not in `timeout_s` seconds.

    A stream without a descriptor is taken to do so; so is one whose reader has left, for writing to it fails at once.
    """
    if stream is None:
        return True
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (OSError, ValueError):
        return True
    return bool(poll.poll(timeout_s * 1e3))
