"""A sink that keeps results in a list, for tests and short embedded runs."""

from __future__ import annotations

from csflow.runtime.errors import SinkError
from csflow.runtime.types import Frame, Result

__all__ = ["MemorySink"]


class MemorySink:
    """Keeps every result, and no picture. It grows without bound: not for a line."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.closed = False

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not kept
        """Append the result."""
        if self.closed:
            raise SinkError("the sink is closed")
        self.results.append(result)

    def close(self) -> None:
        """Take no more results."""
        self.closed = True

    def __enter__(self) -> MemorySink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
