"""Sinks: where results go."""

from __future__ import annotations

import errno
from typing import Protocol, runtime_checkable

from csflow.runtime.errors import SinkError
from csflow.runtime.types import Frame, Result

__all__ = ["ResultSink", "TryAgain", "sink_error"]


class TryAgain(SinkError):
    """This result could not be delivered now but may be later: a broker or server that does not answer."""


@runtime_checkable
class ResultSink(Protocol):
    """Takes one result per frame, in order. One thread calls `write`."""

    def write(self, result: Result, frame: Frame | None) -> None:
        """Take a result; `frame` is the picture it is about, None where none was delivered.

        Raises SinkError when it cannot be written.
        """

    def close(self) -> None:
        """Finish and release. May be called twice."""

    def __enter__(self) -> ResultSink: ...

    def __exit__(self, *exc: object) -> None: ...


def sink_error(error: OSError, target: object) -> SinkError:
    """The SinkError for an OSError while writing to `target`: what failed and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SinkError(f"disk full while writing {target}: free space, then start again")
    if error.errno == errno.EPIPE:
        return SinkError(f"nobody reads {target} any more: the program it was piped to has ended")
    return SinkError(f"cannot write {target} ({error.strerror or error}): correct the path or its permissions")
