"""Scores of good parts that lie far outside of the others': defects among them, or pictures of something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from csflow.runtime.errors import CalibrationError

__all__ = ["outliers_of", "refuse_outliers"]

FEWEST, FENCE = 8, 5.0
SHOWN = 5


def outliers_of(scores: Sequence[float]) -> list[int]:
    """Positions of scores that lie above the upper quartile by more than five times the quartiles' distance, both on
    the logarithms (7.4 standard deviations of a normal distribution): defects, or pictures of something else.

    Fewer than eight scores have no outliers.
    """
    if len(scores) < FEWEST:
        return []
    logs = np.log(np.maximum(np.asarray(scores, dtype=np.float64), np.finfo(np.float64).tiny))
    low, high = np.quantile(logs, (0.25, 0.75))
    # Scores that agree to some percent have outliers at any factor: those that double the highest of the rest count.
    far = (logs > high + FENCE * (high - low)) & (logs > high + np.log(2.0))
    return [int(i) for i in np.flatnonzero(far)]


def refuse_outliers(scored: Mapping[Path, float]) -> None:
    """Raise CalibrationError where scores of pictures have outliers, naming the highest."""
    files, scores = list(scored), list(scored.values())
    if not (far := outliers_of(scores)):
        return
    middle = float(np.median(scores))
    worst = sorted(far, key=lambda i: -scores[i])[:SHOWN]
    listed = "; ".join(f"{files[i]} scores {scores[i]:.4g}" for i in worst)
    raise CalibrationError(
        f"{len(far)} of {len(scores)} pictures lie far outside of the others, whose median is {middle:.4g}: {listed}. "
        "Nothing was written. Look at them: a defect, or a picture of something else, spoils the threshold. Remove "
        "them, or pass --keep-outliers where they are good parts"
    )
