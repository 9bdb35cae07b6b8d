"""What a comparison measures as it goes: seconds of extracting features, and of each call of an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from csflow.runtime.engine import Engine
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.methods.reporter import Reporter

__all__ = ["Bars", "Clock", "Timed"]


class Bars(Reporter, Protocol):
    """A reporter whose bars have names."""

    def images(self, total: int, label: str = ...) -> Any:
        """As `TerminalReporter`."""


class Clock:
    """A reporter that counts the seconds of extracting features."""

    def __init__(self, reporter: Bars) -> None:
        self.reporter = reporter
        self.seconds = 0.0
        self.say, self.epochs = reporter.say, reporter.epochs

    @contextmanager
    def images(self, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over pictures, timed."""
        began = time.perf_counter()
        with self.reporter.images(total) as advance:
            yield advance
        self.seconds += time.perf_counter() - began


class Timed:
    """An engine that notes how long it takes for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.seconds: list[float] = []
        """Of each call of `infer`."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """As the engine's."""
        began = time.perf_counter()
        predictions = self._engine.infer(frames)
        self.seconds.append(time.perf_counter() - began)
        return predictions

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
