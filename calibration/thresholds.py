"""Order statistics: which of n good scores may be the threshold, and what that promises about parts to come.

Take the k-th largest of n independent scores of good parts as threshold. The false-reject rate (FRR: the
share of all good parts that score above it) is then itself random, distributed as Beta(k, n + 1 - k),
whatever the distribution of the scores; with ties it is only smaller (Wilks 1941, tolerance limits). Hence

    P(FRR > p) <= P(Binomial(n, p) <= k - 1)    the bound with a confidence: reject threshold
    E[FRR] <= k / (n + 1)                       the bound on average (split conformal): warn threshold

Both hold while new parts are exchangeable with the ones measured: same product, camera, light and model, and
one score a part. Rates and confidences are shares in 0..1.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context

from csflow.runtime.errors import ConfigError

__all__ = [
    "check_rate",
    "check_share",
    "conformal_rank",
    "largest_rank",
    "percent",
    "reachable",
    "required_parts",
    "upper_bound",
]

LOWEST_RATE = 1e-6
"""Three million good parts are needed for this one; far lower rates overflow the arithmetic."""
RELATIVE_SLACK = 1e-9
"""Whole numbers that meet a promise with equality must not be lost to rounding."""


def upper_bound(n: int, k: int, confidence: float) -> float:
    """Upper confidence bound on the false-reject rate when the k-th largest of n scores is the threshold.

    The `confidence` quantile of Beta(k, n + 1 - k), found by bisection of the binomial tail; within 1e-9.

    Raises ConfigError unless 1 <= k <= n and 0 < confidence < 1.
    """
    check_share("confidence", confidence)
    if not 1 <= k <= n:
        raise ConfigError(f"rank must lie between 1 and the number of scores {n}, got {k}")
    low, high = 0.0, 1.0
    while high - low > 1e-13:
        middle = (low + high) / 2
        if _tail(n, k, middle) <= 1.0 - confidence:
            high = middle
        else:
            low = middle
    return high


def required_parts(rate: float, confidence: float, k: int = 1) -> int:
    """Fewest scores whose k-th largest keeps the false-reject rate at or below `rate` with `confidence`.

    k = 1 is the highest score; a larger k needs more parts and lets k - 1 odd ones among them lie above.

    Raises ConfigError unless k >= 1, 1e-6 <= rate < 1 and 0 < confidence < 1.
    """
    _check(rate, confidence)
    if k < 1:
        raise ConfigError(f"rank must be at least 1, got {k}")
    low, high = k - 1, k
    while not _holds(high, k, rate, confidence):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _holds(middle, k, rate, confidence):
            high = middle
        else:
            low = middle
    return high


def largest_rank(n: int, rate: float, confidence: float) -> int | None:
    """Largest k with upper_bound(n, k, confidence) <= rate: the lowest threshold that keeps the promise.

    None when even the highest of n scores cannot; `required_parts` says how many could.

    Raises ConfigError unless 1e-6 <= rate < 1 and 0 < confidence < 1.
    """
    _check(rate, confidence)
    allowed = (1.0 - confidence) * (1.0 + RELATIVE_SLACK)
    tail = 0.0
    for k in range(1, n + 1):
        tail += _probability(n, k - 1, rate)
        if tail > allowed:
            return k - 1 or None
    return n or None


def conformal_rank(n: int, rate: float) -> int | None:
    """Largest k with k / (n + 1) <= rate: the share of good parts above the k-th largest, on average.

    None when 1 / (n + 1) is above `rate` already.

    Raises ConfigError unless 1e-6 <= rate < 1.
    """
    check_rate("rate", rate)
    k = math.floor(rate * (n + 1) * (1.0 + RELATIVE_SLACK))
    return min(k, n) or None


def percent(share: float, digits: int = 10) -> str:
    """A share as people write it: 0.005 is '0.5 %'; rounded to so many significant digits."""
    return f"{100 * share:.{digits}g} %"


def reachable(n: int, confidence: float) -> str:
    """The lowest false-reject rate that n parts can promise, rounded up to two digits, as options take it: '2.5%'."""
    best = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(100 * upper_bound(n, 1, confidence))
    return f"{best.normalize():f}%"


def check_share(name: str, value: float) -> None:
    """Raise ConfigError unless `value` lies strictly between 0 and 1 (NaN does not)."""
    if not 0.0 < value < 1.0:
        raise ConfigError(f"{name} must lie between 0 and 1 (both excluded), got {value}: write 5 % as 0.05")


def check_rate(name: str, value: float) -> None:
    """Raise ConfigError unless `value` is a share of at least one in a million."""
    check_share(name, value)
    if value < LOWEST_RATE:
        raise ConfigError(f"{name} must be at least {LOWEST_RATE:g}, got {value:g}: no line could show less")


def _check(rate: float, confidence: float) -> None:
    check_rate("false-reject rate", rate)
    check_share("confidence", confidence)


def _holds(n: int, k: int, rate: float, confidence: float) -> bool:
    return _tail(n, k, rate) <= (1.0 - confidence) * (1.0 + RELATIVE_SLACK)


def _tail(n: int, k: int, p: float) -> float:
    return math.fsum(_probability(n, j, p) for j in range(k))


def _probability(n: int, j: int, p: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)
    return math.exp(choose + j * math.log(p) + (n - j) * math.log1p(-p))
