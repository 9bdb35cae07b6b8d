"""What a run came to: frames, verdicts, drops, speed and latency."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.types import Result, Verdict

__all__ = ["Summary", "Tally"]


@dataclass(frozen=True)
class Summary:
    """Counts and times of one run. Latency is from capture to verdict; None before the first frame."""

    frames: int
    """Results given."""
    verdicts: dict[str, int]
    """Number of results by verdict name."""
    dropped: int
    """Frames that the sources counted and nobody got: the gaps in `Frame.index`; not counted with triggers."""
    faults: dict[str, int]
    """Number of ERROR results by fault."""
    reconnects: int
    """How often a lost camera came back."""
    duration_s: float
    fps: float
    """Results a second over the whole run."""
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    """Percentiles, each within 1 %."""
    latency_max_s: float | None
    unverified: int = 0
    """Results of an engine that the decision gate has not passed."""

    def to_mapping(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return asdict(self)

    def text(self) -> str:
        """The summary in two lines for people."""
        verdicts = ", ".join(f"{count} {name}" for name, count in self.verdicts.items() if count) or "no verdict"
        speed = f"{self.frames} frames in {self.duration_s:.1f} s ({self.fps:.1f}/s), {self.dropped} dropped"
        first = f"{speed}: {verdicts}" + self._trouble()
        if self.unverified:
            first += f"; {self.unverified} by an engine that is NOT VERIFIED"
        if self.latency_max_s is None:
            return first
        names = ("p50", "p95", "p99", "max")
        values = (self.latency_p50_s, self.latency_p95_s, self.latency_p99_s, self.latency_max_s)
        times = ", ".join(f"{n} {v * 1e3:.1f}" for n, v in zip(names, values, strict=True) if v is not None)
        return f"{first}\nlatency in ms: {times}"

    def _trouble(self) -> str:
        faults = ", ".join(f"{count} {fault}" for fault, count in sorted(self.faults.items()))
        back = f"; lost cameras came back {self.reconnects} times" if self.reconnects else ""
        return (f" ({faults})" if faults else "") + back


class _Counting(Protocol):
    @property
    def reconnects(self) -> int: ...


class Tally:
    """Counts results as they come, in constant memory however long the run."""

    def __init__(self) -> None:
        self._started_ns = time.monotonic_ns()
        self._verdicts = dict.fromkeys(Verdict, 0)
        self._next_index: dict[str, int] = {}
        self._dropped = 0
        self._faults: dict[str, int] = {}
        self._feeds: Sequence[_Counting] = ()
        self._unverified = 0
        self._latency = _Histogram()

    def watch(self, feeds: Sequence[_Counting]) -> None:
        """Take the number of reconnects from these."""
        self._feeds = feeds

    def add(self, result: Result) -> None:
        """Count one result; an index beyond the expected one of its camera counts as frames dropped."""
        self._verdicts[result.verdict] += 1
        if result.fault:
            self._faults[result.fault] = self._faults.get(result.fault, 0) + 1
        expected = self._next_index.get(result.camera, 0)
        if not result.trigger:
            self._dropped += max(0, result.frame_index - expected)
        self._next_index[result.camera] = max(expected, result.frame_index + 1)
        self._unverified += not result.verified
        self._latency.add(result.latency_s)

    def summary(self) -> Summary:
        """The counts so far."""
        frames = sum(self._verdicts.values())
        duration_s = (time.monotonic_ns() - self._started_ns) / 1e9
        return Summary(
            frames=frames,
            verdicts={v.name: n for v, n in self._verdicts.items() if v is not Verdict.NONE},
            dropped=self._dropped,
            faults=dict(self._faults),
            reconnects=sum(feed.reconnects for feed in self._feeds),
            duration_s=duration_s,
            fps=frames / duration_s if duration_s > 0 else 0.0,
            latency_p50_s=self._latency.quantile(0.50),
            latency_p95_s=self._latency.quantile(0.95),
            latency_p99_s=self._latency.quantile(0.99),
            latency_max_s=self._latency.highest,
            unverified=self._unverified,
        )


class _Histogram:
    """Seconds from 1 µs to 10 000 s in bins 2 % wide: a quantile, the middle of its bin, is within 1 %."""

    LOWEST_S, HIGHEST_S, STEP = 1e-6, 1e4, math.log(1.02)

    def __init__(self) -> None:
        bins = math.ceil(math.log(self.HIGHEST_S / self.LOWEST_S) / self.STEP) + 1
        self._counts: NDArray[np.int64] = np.zeros(bins, dtype=np.int64)
        self.highest: float | None = None

    def add(self, seconds: float) -> None:
        clipped = min(max(seconds, self.LOWEST_S), self.HIGHEST_S)
        self._counts[int(math.log(clipped / self.LOWEST_S) / self.STEP)] += 1
        self.highest = seconds if self.highest is None else max(self.highest, seconds)

    def quantile(self, share: float) -> float | None:
        """The smallest recorded time that at least `share` of all do not exceed."""
        if self.highest is None:
            return None
        rank = math.ceil(share * int(self._counts.sum()))
        index = int(np.searchsorted(np.cumsum(self._counts), max(rank, 1)))
        return min(self.LOWEST_S * math.exp((index + 0.5) * self.STEP), self.highest)
