"""How fast a bundle judges on this machine, and whether that is fast enough for a line."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from csflow.runtime.bundle.pictures import picture_sizes
from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError
from csflow.runtime.types import Frame

__all__ = ["Demand", "Speed", "measure", "usual_size"]

WARM_UP = 5
"""Pictures before those that count: the first ones fill caches."""
PICTURES = 4
"""Different pictures that take turns."""
LATE = 0.99
BUSY = 0.5
"""Load a core, in the last minute before the measurement, above which other work is told of."""


@dataclass(frozen=True)
class Demand:
    """What a line asks of a verdict; None where it does not say."""

    fps: float | None = None
    """Pictures a second, one after the other."""
    latency_s: float | None = None
    """Longest time from a picture to its verdict, which 99 of 100 must keep."""


@dataclass(frozen=True)
class Speed:
    """Seconds of each picture, in the order of their judgement."""

    engine: str
    """What runs where, in one line."""
    size: tuple[int, int]
    """(width, height) of the pictures in pixels."""
    prepare_s: tuple[float, ...]
    """Checks, crop and resize."""
    infer_s: tuple[float, ...]
    verdict_s: tuple[float, ...]
    """From the picture in memory to the verdict."""
    load: float
    """Load average of the minute before, a core."""

    @property
    def rate(self) -> float:
        """Pictures a second, one after the other."""
        return len(self.verdict_s) / sum(self.verdict_s)

    @property
    def late_s(self) -> float:
        """The time that 99 of 100 verdicts keep."""
        return sorted(self.verdict_s)[math.ceil(LATE * len(self.verdict_s)) - 1]

    def facts(self, demand: Demand) -> dict[str, object]:
        """For programs; times in seconds."""
        return {
            "engine": self.engine,
            "picture": list(self.size),
            "pictures": len(self.verdict_s),
            "prepare_s": float(np.median(self.prepare_s)),
            "infer_s": float(np.median(self.infer_s)),
            "verdict_s": float(np.median(self.verdict_s)),
            "verdict_99_s": self.late_s,
            "verdict_longest_s": max(self.verdict_s),
            "rate": self.rate,
            "load": self.load,
            "fits": self.fits(demand),
        }

    def fits(self, demand: Demand) -> bool:
        """Whether this machine keeps up."""
        return all(kept for kept, _ in self._asked(demand))

    def lines(self, demand: Demand) -> list[str]:
        """The same for people, a fact a line."""
        prepare, infer, verdict = (_ms(np.median(s)) for s in (self.prepare_s, self.infer_s, self.verdict_s))
        busy = f"WARNING    {self.load:.1f} other programs a core were at work: measure again on a quiet machine"
        return [
            f"engine     {self.engine}",
            f"pictures   {len(self.verdict_s)} of {self.size[0]}x{self.size[1]} px",
            f"prepare    {prepare} (checks, crop, resize; median)",
            f"infer      {infer} (median)",
            f"verdict    {verdict} (median), 99 of 100 within {_ms(self.late_s)}, longest {_ms(max(self.verdict_s))}",
            f"rate       {self.rate:.3g} pictures/s, one after the other",
            *([busy] if self.load > BUSY else []),
            *(f"{'fits' if kept else 'TOO SLOW':10s} {words}" for kept, words in self._asked(demand)),
        ]

    def _asked(self, demand: Demand) -> list[tuple[bool, str]]:
        asked = []
        if demand.fps is not None:
            share = demand.fps / self.rate
            asked.append((share <= 1.0, f"{demand.fps:g} pictures/s take {share:.0%} of the time"))
        if demand.latency_s is not None:
            kept = self.late_s <= demand.latency_s
            asked.append((kept, f"99 of 100 verdicts come within {_ms(self.late_s)} of {_ms(demand.latency_s)}"))
        return asked


def usual_size(detector: Detector) -> tuple[int, int]:
    """(width, height) in pixels of the pictures that the model was made with; else of its input."""
    known = picture_sizes(detector.bundle)
    side = detector.bundle.manifest.preprocessing.image_size
    return (side, side) if known is None else (known.width_px[1], known.height_px[1])


def measure(
    detector: Detector, size: tuple[int, int], pictures: int, progress: Callable[[int], None] | None = None
) -> Speed:
    """Judge drawn noise, one picture after the other as a line with one camera does.

    Args:
        size: (width, height) in pixels.
        progress: called with 1 after each picture.

    Raises ConfigError for no picture, SourceError where the region of interest leaves the picture, InferenceError.
    """
    if pictures < 1:
        raise ConfigError("at least one picture must be judged")
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    frames = _frames(detector, size)
    for index in range(WARM_UP):
        detector.detect(Frame(frames[index % PICTURES]))
    results = []
    for index in range(pictures):
        results.append(detector.detect(Frame(frames[index % PICTURES], index)))
        if progress is not None:
            progress(1)
    times = zip(*((r.prepare_s, r.infer_s, r.latency_s) for r in results), strict=True)
    prepare_s, infer_s, verdict_s = times
    return Speed(detector.description, size, prepare_s, infer_s, verdict_s, load)


def _frames(detector: Detector, size: tuple[int, int]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    draw, shape = np.random.default_rng(0), (size[1], size[0], 3)
    window = detector.bundle.manifest.preprocessing.window
    if window is None:
        return [draw.integers(0, 256, shape, dtype=np.uint8) for _ in range(PICTURES)]
    return [draw.integers(0, window[1] + 1, shape[:2], dtype=np.uint16) for _ in range(PICTURES)]


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"
