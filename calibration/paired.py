"""Two detectors on the same pictures: the difference of their image AUROCs, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paired", "auroc", "paired"]

COVERED = (0.025, 0.975)


@dataclass(frozen=True)
class Paired:
    """AUROC of both, and the bounds of 95 % of the draws of their difference."""

    first: float
    second: float
    difference: float
    """Of the first from the second."""
    low: float
    high: float


def auroc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Share of pairs of a good (N,) and a bad (M,) score that are in order, ties half."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.mean() / (2 * len(good)))


def paired(
    first: Sequence[float], second: Sequence[float], is_good: Sequence[bool], draws: int = 2000, seed: int = 0
) -> Paired:
    """Compare the scores of two detectors for the same pictures, of which some are good and some are not.

    Bootstrap (Efron and Tibshirani 1993): good and defective pictures are drawn apart, with replacement, the same ones
    for both detectors.
    """
    table, known = np.array([first, second], dtype=np.float64).T, np.array(is_good, dtype=np.bool_)
    good, bad = table[known], table[~known]
    random = np.random.default_rng(seed)
    differences = []
    for _ in range(draws):
        g, d = good[random.integers(len(good), size=len(good))], bad[random.integers(len(bad), size=len(bad))]
        differences.append(auroc(g[:, 0], d[:, 0]) - auroc(g[:, 1], d[:, 1]))
    one, other = (auroc(good[:, i], bad[:, i]) for i in (0, 1))
    low, high = np.quantile(differences, COVERED)
    return Paired(one, other, one - other, float(low), float(high))
