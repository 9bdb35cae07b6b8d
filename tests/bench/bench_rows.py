"""The rows of `make bench`, and how times are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CameraRow", "Overhead", "Row", "in_turn"]

SHARE_LIMIT, NULL_LIMIT_S = 0.05, 1.5e-3
"""What the work around the engine may cost: of the engine's time at the paper's settings, and with a null engine."""


@dataclass(frozen=True)
class Row:
    """Times of one thing in seconds."""

    what: str
    median_s: float
    p95_s: float
    p99_s: float
    ratio: float
    of: str
    """What the median is a ratio of; empty where there is none."""

    @classmethod
    def of_times(cls, what: str, seconds: Sequence[float], base_s: float = 0.0, of: str = "") -> Row:
        """Percentiles of `seconds`, and the median as a ratio of `base_s`."""
        median, p95, p99 = (float(np.percentile(seconds, q)) for q in (50, 95, 99))
        return cls(what, median, p95, p99, median / base_s if base_s else 1.0, of)

    def text(self) -> str:
        """A line of the table, in milliseconds."""
        ratio = f"{self.ratio:.3f} of {self.of}" if self.of else ""
        return (
            f"| {self.what} | {self.median_s * 1e3:.2f} | {self.p95_s * 1e3:.2f} | {self.p99_s * 1e3:.2f} | {ratio} |"
        )


@dataclass(frozen=True)
class CameraRow:
    """What several cameras get out of one engine."""

    engine: str
    cameras: int
    per_call: float
    """Frames in one call of the engine, on average."""
    fps: float
    """Results a second, of all cameras together."""
    ratio: float
    """Of one camera's in latency mode."""
    latency: Row

    def text(self) -> str:
        """A line of the table, latency in milliseconds."""
        late = (self.latency.median_s, self.latency.p95_s, self.latency.p99_s)
        times = " | ".join(f"{seconds * 1e3:.1f}" for seconds in late)
        return f"| {self.engine} | {self.cameras} | {self.per_call:.2f} | {self.fps:.2f} | {self.ratio:.2f} | {times} |"


@dataclass(frozen=True)
class Overhead:
    """The work around the engine beside its limits."""

    share: float
    """Of the engine's time, in the line with this engine."""
    null_s: float
    """Seconds around a null engine, pictures of the model's size."""
    share_limit: float = SHARE_LIMIT
    null_limit_s: float = NULL_LIMIT_S

    def text(self) -> str:
        """One line."""
        return (
            f"{self.share:.1%} of engine time (limit {self.share_limit:.0%} at the paper's settings), "
            f"{self.null_s * 1e3:.2f} ms with a null engine (limit {self.null_limit_s * 1e3:g} ms)"
        )


def in_turn(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each action, taken in turn, so that other work disturbs all alike; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}
