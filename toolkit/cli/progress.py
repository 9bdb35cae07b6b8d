"""Progress bars of training and evaluation, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

__all__ = ["TerminalReporter"]


class TerminalReporter:
    """Says lines and shows bars with time left; where stderr is no terminal, a bar updates at most every 10 s."""

    def say(self, line: str) -> None:
        """One line on stderr."""
        tqdm.write(line, file=sys.stderr)

    @contextmanager
    def images(self, total: int, label: str = "features") -> Iterator[Callable[[int], None]]:
        """A bar over pictures."""
        with tqdm(total=total, desc=label, unit="img", mininterval=_interval()) as bar:
            yield lambda count: _advance(bar, count)

    @contextmanager
    def epochs(self, total: int) -> Iterator[Callable[[int, float], None]]:
        """A bar over epochs with the last loss."""
        with tqdm(total=total, desc="training", unit="epoch", mininterval=_interval()) as bar:

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


def _advance(bar: Any, count: int) -> None:
    bar.update(count)


def _interval() -> float:
    return 0.2 if sys.stderr.isatty() else 10.0
