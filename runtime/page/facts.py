"""What a page is told once, and what it says of a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csflow.runtime.picture.region import WHOLE_PICTURE, Region
from csflow.runtime.types import Frame, Result

__all__ = ["Beside", "PageInfo", "Seen", "finite", "score_ratio"]


@dataclass(frozen=True)
class PageInfo:
    """What does not change during a run."""

    bundle: str
    engine: str
    warn_threshold: float
    reject_threshold: float
    cameras: tuple[str, ...]
    """Names of the sources, as `FrameSource.name` gives them; `Result.camera` is one of them."""
    region: Region = WHOLE_PICTURE
    """What of the camera's picture the model looks at."""
    distrust: str = ""
    """Why the engine is not verified; empty where it is."""
    triggered: bool = False
    """Results come when they are asked for: between triggers nothing is late."""
    signed_by: str = ""
    """Who signed the pack that brought the bundle; empty where nobody did, or where it came in none."""
    unsigned: bool = False
    """The bundle came in a pack that nobody signed."""
    line: str = ""
    """What this line is called."""


@dataclass(frozen=True)
class Beside:
    """What a page shows beside its own run, and in which language."""

    also: tuple[str, ...] = ()
    """Other runs, NAME=http://HOST:PORT each."""
    also_token: str | None = None
    """What their pages ask for."""
    language: str | None = None
    """As `Words` takes it."""
    saved: Path | None = None
    """Folder in which pictures of parts are saved."""
    shift: Path | None = None
    """File in which the shift's counters outlive the run."""


@dataclass(frozen=True)
class Seen:
    """A result with its picture, numbered in the order of arrival, from 1."""

    number: int
    result: Result
    frame: Frame | None
    unix_s: float
    """Wall clock at capture, in seconds since 1970."""

    def to_mapping(self) -> dict[str, Any]:
        """What the page needs to show it, as JSON; numbers that are none are null."""
        result = self.result
        return {
            "number": self.number,
            "camera": result.camera,
            "verdict": result.verdict.name,
            "ratio": score_ratio(result),
            "source": result.source,
            "part": result.part,
            "trigger": result.trigger,
            "fault": result.fault,
            "reason": result.reason,
            "unix_s": self.unix_s,
            "latency_ms": round(result.latency_s * 1e3, 2),
            "picture": self.frame is not None,
            "verified": result.verified,
        }


def score_ratio(result: Result) -> float | None:
    """Score over reject threshold; None where there is none."""
    return finite(result.score / result.threshold) if result.threshold > 0 else None


def finite(value: float) -> float | None:
    """The number; None where it is not finite."""
    return float(value) if math.isfinite(value) else None
