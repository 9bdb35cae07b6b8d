"""A terminal result of one trigger, and what must hold before it may say OK."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from csflow.runtime.faults import INVALIDATING, Quality, Reason, Verdict

__all__ = ["Finding", "failure", "proven"]


@dataclass(frozen=True)
class Finding:
    """What an inspection found about one part."""

    verdict: Verdict
    reason: Reason = Reason.NONE
    quality: Quality = Quality.NONE
    score: float = math.nan
    """Higher is stranger; NaN where there is none."""
    threshold: float = math.nan
    """Reject above; NaN where there is none."""
    p_value: float = math.nan
    recipe: int = 0
    """Number of the recipe it was made with."""
    recipe_crc: int = 0
    peak_xy: tuple[int, int] = (-1, -1)
    """Highest point of the map in pixels; (-1, -1) where there is no map."""
    acquisition_ms: float = 0.0
    """Milliseconds from the trigger to the picture."""
    processing_ms: float = 0.0
    """Milliseconds from the picture to the verdict."""
    frame_age_ms: float = math.nan
    """Milliseconds from the capture of the picture until its inspection began; NaN where there was none."""
    words: str = ""
    """Why the verdict is not OK; for people, it does not travel in registers."""


def failure(reason: Reason, words: str, quality: Quality = Quality.NONE) -> Finding:
    """An ERROR: no statement about the part can be made."""
    return Finding(Verdict.ERROR, reason, quality, words=words)


def proven(finding: Finding, recipe: int, recipe_crc: int) -> Finding:
    """The finding, or ERROR where it claims more than it shows.

    OK and UNCERTAIN need a finite, positive score (for OK at most the threshold), no invalidating quality bit, and
    the recipe that was in force at the trigger. Only positive evidence counts: a comparison with NaN is no evidence.
    """
    if finding.verdict in (Verdict.ERROR, Verdict.NOK):
        return finding
    if finding.recipe != recipe or finding.recipe_crc != recipe_crc:
        return _unproven(finding, Reason.INTERNAL, Quality.RECIPE_MISMATCH, "another recipe was used")
    if finding.quality & INVALIDATING:
        return _unproven(finding, finding.reason or Reason.PICTURE_UNUSABLE, Quality.NONE, finding.words)
    if not (math.isfinite(finding.score) and finding.score > 0 and math.isfinite(finding.threshold)):
        return _unproven(finding, Reason.NOT_FINITE, Quality.NONFINITE_SCORE, "score or threshold is not a number")
    if finding.verdict is Verdict.OK and not finding.score <= finding.threshold:
        return _unproven(finding, Reason.INTERNAL, Quality.NONE, "OK with a score above the threshold")
    if finding.verdict not in (Verdict.OK, Verdict.UNCERTAIN):
        return _unproven(finding, Reason.INTERNAL, Quality.NONE, f"no verdict: {finding.verdict!r}")
    return finding


def _unproven(finding: Finding, reason: Reason, bit: Quality, words: str) -> Finding:
    return replace(finding, verdict=Verdict.ERROR, reason=reason, quality=finding.quality | bit, words=words)
