"""Sinks: where results go."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from csflow.runtime.errors import SinkError
from csflow.runtime.types import Frame, Result

__all__ = ["TERMINAL", "AwaitingSink", "OutputReport", "ResultSink", "TryAgain", "sink_error"]

TERMINAL = "terminal"
"""Name of the output that prints a line a result."""


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


@runtime_checkable
class AwaitingSink(ResultSink, Protocol):
    """A sink that tells others that a result is to come."""

    def asked(self) -> None:
        """A part was asked for, or its picture is there: its result follows. Called by the thread that writes."""


@dataclass(frozen=True)
class OutputReport:
    """How an output fared. Every result it was given is written, failed, dropped or still waiting."""

    name: str
    written: int
    failed: int
    """Results that the output refused: disk full, server error."""
    dropped: int
    """Results that found no room in the queue, the oldest first, or were left at the end."""
    waiting: int
    error: str
    """The last failure; empty while none came after the last result written."""

    @property
    def told(self) -> bool:
        """Whether a summary for people tells of it: always, but of terminal lines only where some were lost."""
        return self.name != TERMINAL or bool(self.failed or self.dropped)

    def text(self) -> str:
        """One line for people."""
        lost = f", {self.failed} failed, {self.dropped} dropped" if self.failed or self.dropped else ""
        return f"{self.name}: {self.written} written{lost}" + (f" ({self.error})" if self.error else "")


def sink_error(error: OSError, target: object) -> SinkError:
    """The SinkError for an OSError while writing to `target`: what failed and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SinkError(f"disk full while writing {target}: free space, then start again")
    if error.errno == errno.EPIPE:
        return SinkError(f"nobody reads {target} any more: the program it was piped to has ended")
    return SinkError(f"cannot write {target} ({error.strerror or error}): correct the path or its permissions")
