"""Whether two samples differ, by ranks alone: no distribution is assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["detectable", "exceedance", "mann_whitney", "parts_needed", "shift_bound"]

POWER = 0.8
"""Of the shifts that count as told: so often they are."""
NORMAL = NormalDist()
HALVINGS = 60
"""Of an interval that holds all differences: what is left is finer than their digits."""
Values = NDArray[np.float64]


def mann_whitney(reference: Sequence[float], day: Sequence[float]) -> tuple[float, float]:
    """(p, P): two-sided p-value that both are of one distribution, and the probability that a value of the day lies
    above one of the reference, ties half.

    By the normal approximation with ties and continuity corrected (Mann, Whitney, Ann. Math. Stat. 18, 1947).
    """
    n, m = len(reference), len(day)
    both = np.concatenate([np.asarray(reference, np.float64), np.asarray(day, np.float64)])
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2.0)[place]
    wins = float(ranks[n:].sum()) - m * (m + 1) / 2.0
    total = n + m
    ties = float(((count.astype(np.float64) ** 3) - count).sum()) / (total * (total - 1))
    variance = n * m / 12.0 * (total + 1 - ties)
    if variance <= 0.0:
        return 1.0, 0.5
    distance = max(0.0, abs(wins - n * m / 2.0) - 0.5) / math.sqrt(variance)
    return min(1.0, 2.0 * NORMAL.cdf(-distance)), wins / (n * m)


def shift_bound(reference: Sequence[float], day: Sequence[float], alpha: float) -> tuple[float, float]:
    """(estimate, upper bound) of how far the day lies above the reference: Hodges and Lehmann's median of differences,
    and the difference that the shift exceeds with probability `alpha` at most (Ann. Math. Stat. 34, 1963)."""
    first, second = np.sort(np.asarray(reference, np.float64)), np.sort(np.asarray(day, np.float64))
    pairs = len(first) * len(second)
    up = NORMAL.inv_cdf(1.0 - alpha) * math.sqrt(pairs * (len(first) + len(second) + 1) / 12.0)
    place = min(pairs - 1, math.ceil(pairs / 2.0 + up))
    middle = (_difference(first, second, (pairs - 1) // 2) + _difference(first, second, pairs // 2)) / 2.0
    return middle, _difference(first, second, place)


def _difference(reference: Values, day: Values, place: int) -> float:
    """The `place`-th smallest, from 0, of all differences of a value of the day and one of the reference, both sorted.

    Found by halving, to the last digits: a day of a million parts has more pairs than memory.
    """
    low, high = float(day[0] - reference[-1]), float(day[-1] - reference[0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        # Whole numbers of pairs: those that lie at or below the middle.
        below = int(np.searchsorted(day, reference + middle, side="right").sum())
        low, high = (low, middle) if below > place else (middle, high)
    return high


def exceedance(count: int, parts: int, rank: int, known: int) -> float:
    """Probability that of `parts` new values at least `count` lie above the `rank`-th largest of `known` ones, where
    all are exchangeable: exact for any continuous distribution (a beta-binomial; Wilks, Ann. Math. Stat. 13, 1942).

    Args:
        rank: from 1; `known` + 1 where the bound lies below all of them.
    """
    if count <= 0:
        return 1.0
    a, b = float(rank), float(max(known + 1 - rank, 0)) or 1e-9

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    terms = [
        math.lgamma(parts + 1) - math.lgamma(x + 1) - math.lgamma(parts - x + 1) + log_beta(a + x, b + parts - x)
        for x in range(count, parts + 1)
    ]
    return min(1.0, math.fsum(math.exp(term - log_beta(a, b)) for term in terms))


def parts_needed(shift: float, known: int, alpha: float) -> int | None:
    """How many parts tell a shift of so many standard deviations four times in five; None: no number does, as the
    `known` parts are too few. By Noether's formula (J. Am. Stat. Assoc. 82, 1987), for normal scores."""
    needed = _needed(NORMAL.cdf(shift / math.sqrt(2.0)) - 0.5, alpha)
    return None if known <= needed else math.ceil(needed * known / (known - needed))


def detectable(parts: int, known: int, alpha: float) -> float:
    """The shift, in standard deviations of normal scores, that so many parts tell four times in five; inf: none."""
    if parts < 1 or known < 1:
        return math.inf
    share = math.sqrt(_needed(1.0, alpha) * (parts + known) / (parts * known))
    return math.inf if share >= 0.5 else math.sqrt(2.0) * NORMAL.inv_cdf(0.5 + share)


def _needed(effect: float, alpha: float) -> float:
    z = NORMAL.inv_cdf(1.0 - alpha / 2.0) + NORMAL.inv_cdf(POWER)
    return z * z / (12.0 * effect * effect)
