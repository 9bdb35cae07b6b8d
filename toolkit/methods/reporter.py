"""Where a training says what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Reporter", "Silent"]


class Reporter(Protocol):
    """Where a training says what it does."""

    def say(self, line: str) -> None:
        """One line of text."""

    def images(self, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar over pictures; the callable advances it."""

    def epochs(self, total: int) -> AbstractContextManager[Callable[[int, float], None]]:
        """A bar over epochs; the callable takes the number done and the last loss."""


@contextmanager
def _nothing(_total: int) -> Iterator[Callable[..., None]]:
    yield lambda *_: None


class Silent:
    """A reporter that says nothing, for use as a library."""

    def say(self, line: str) -> None:
        """Drop the line."""

    images = staticmethod(_nothing)
    epochs = staticmethod(_nothing)
