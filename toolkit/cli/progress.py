"""Progress of training and evaluation on stderr: bars on a terminal, whole lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

__all__ = ["TerminalReporter"]

BAR_S = 0.2
LOG_S = 10.0


class _Bar(Protocol):
    """What this module asks of tqdm."""

    n: int
    initial: int

    def update(self, n: int) -> Any:
        """So many more are done."""

    def refresh(self) -> Any:
        """Show the bar as it is."""

    def set_postfix_str(self, s: str, refresh: bool) -> Any:
        """Words at its end."""


class TerminalReporter:
    """Says lines and shows bars with time left; where stderr is no terminal, a line every 10 s, and none before."""

    def say(self, line: str) -> None:
        """One line on stderr."""
        tqdm.write(line, file=sys.stderr)

    @contextmanager
    def images(self, total: int, label: str = "features") -> Iterator[Callable[[int], None]]:
        """A bar over pictures."""
        with _bar(total, label, " picture") as bar:
            yield lambda count: _advance(bar, count)

    @contextmanager
    def epochs(self, total: int) -> Iterator[Callable[[int, float], None]]:
        """A bar over epochs with the last loss."""
        with _bar(total, "training", " epoch") as bar:

            def on_epoch(done: int, loss: float) -> None:
                bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
                if bar.n == 0 and done > 1:
                    # Resumed: epochs of an earlier run must not enter the estimate of the time left.
                    bar.initial = done
                    bar.n = done
                    bar.refresh()
                else:
                    bar.update(done - bar.n)

            yield on_epoch


class _Lines:
    """A bar for a log, which a bar drawn over and over would fill with one endless line."""

    def __init__(self, total: int, label: str, unit: str) -> None:
        self.n = self.initial = 0
        self._total, self._label, self._unit, self._end = total, label, unit, ""
        self._began_s = self._said_s = time.monotonic()

    def update(self, n: int) -> None:
        self.n += n
        if time.monotonic() - self._said_s >= LOG_S and self.n < self._total:
            self.refresh()

    def refresh(self) -> None:
        self._said_s = time.monotonic()
        passed_s, done = self._said_s - self._began_s, self.n - self.initial
        left = f", {tqdm.format_interval(passed_s / done * (self._total - self.n))} left" if done else ""
        said = f"{self._label}: {self.n} of {self._total}{self._unit}s in {tqdm.format_interval(passed_s)}{left}"
        print(f"{said}{self._end}", file=sys.stderr, flush=True)

    def set_postfix_str(self, s: str, refresh: bool) -> None:  # noqa: ARG002 - as tqdm's
        self._end = f", {s}"


@contextmanager
def _bar(total: int, label: str, unit: str) -> Iterator[_Bar]:
    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=unit, mininterval=BAR_S) as bar:
            yield bar
    else:
        yield _Lines(total, label, unit)


def _advance(bar: _Bar, count: int) -> None:
    bar.update(count)
