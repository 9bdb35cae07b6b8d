"""Sinks: where results go."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from csflow.runtime.types import Frame, Result

__all__ = ["ResultSink"]


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
