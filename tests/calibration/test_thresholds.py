"""The promises of order statistics, against the table of our notes, SciPy, and simulated lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from csflow.calibration.thresholds import (
    conformal_rank,
    largest_rank,
    percent,
    required_parts,
    upper_bound,
)
from csflow.runtime.errors import ConfigError

PARTS_AT_95 = {
    0.05: (59, 93, 124, 181),
    0.02: (149, 236, 313, 456),
    0.01: (299, 473, 628, 913),
    0.005: (598, 947, 1258, 1829),
    0.001: (2995, 4742, 6294, 9151),
    0.0001: (29956, 47437, 62956, 91533),
}


@pytest.mark.parametrize(("rate", "parts"), PARTS_AT_95.items())
def test_required_parts_match_the_table(rate: float, parts: tuple[int, ...]) -> None:
    assert tuple(required_parts(rate, 0.95, k) for k in (1, 2, 3, 5)) == parts


@pytest.mark.parametrize(("rate", "parts"), [(0.05, 19), (0.02, 49), (0.01, 99), (0.001, 999), (0.0001, 9999)])
def test_the_highest_score_is_conformal_from_this_many_parts_on(rate: float, parts: int) -> None:
    assert conformal_rank(parts, rate) == 1
    assert conformal_rank(parts - 1, rate) is None


@pytest.mark.parametrize(("n", "bound"), [(20, 0.139), (100, 0.0295), (300, 0.0099), (1000, 0.0030)])
def test_bound_of_the_highest_score(n: int, bound: float) -> None:
    assert upper_bound(n, 1, 0.95) == pytest.approx(bound, rel=0.01)


@given(n=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.floats(0.01, 0.9999))
@example(n=2, share=1.0, confidence=0.125)
@settings(max_examples=60, deadline=None)
def test_bound_is_the_beta_quantile(n: int, share: float, confidence: float) -> None:
    k = 1 + round(share * (n - 1))
    assert upper_bound(n, k, confidence) == pytest.approx(stats.beta.ppf(confidence, k, n + 1 - k), abs=1e-9)


def test_bound_of_very_many_scores_keeps_its_digits() -> None:
    assert upper_bound(100_000, 900, 0.99) == pytest.approx(stats.beta.ppf(0.99, 900, 99_101), abs=1e-9)


@given(n=st.integers(1, 1000), rate=st.floats(1e-4, 0.9), confidence=st.floats(0.05, 0.999))
@settings(max_examples=60, deadline=None)
def test_largest_rank_is_the_last_that_keeps_the_rate(n: int, rate: float, confidence: float) -> None:
    k = largest_rank(n, rate, confidence)
    if k is None:
        assert upper_bound(n, 1, confidence) > rate - 1e-9
        assert required_parts(rate, confidence) > n
        return
    assert upper_bound(n, k, confidence) <= rate + 1e-9
    assert k == n or upper_bound(n, k + 1, confidence) > rate - 1e-9


@given(rate=st.floats(0.001, 0.9), confidence=st.floats(0.05, 0.999), k=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_required_parts_are_enough_and_one_less_is_not(rate: float, confidence: float, k: int) -> None:
    n = required_parts(rate, confidence, k)
    assert (largest_rank(n, rate, confidence) or 0) >= k
    assert (largest_rank(n - 1, rate, confidence) or 0) < k


@pytest.mark.fault("L3")
@pytest.mark.parametrize(("n", "rate", "confidence"), [(299, 0.01, 0.95), (500, 0.02, 0.95), (250, 0.05, 0.9)])
@pytest.mark.parametrize("shape", ["norm", "lognorm"])
def test_the_promise_holds_on_simulated_lines(n: int, rate: float, confidence: float, shape: str) -> None:
    """Calibrations whose true rate lies above `rate` are as frequent as the binomial tail says."""
    line = stats.norm() if shape == "norm" else stats.lognorm(1.0)
    k = largest_rank(n, rate, confidence)
    assert k is not None
    runs = 4000
    scores = line.rvs((runs, n), random_state=np.random.default_rng(7))
    true_rate = line.sf(np.partition(scores, n - k, axis=1)[:, n - k])
    tail = stats.binom.cdf(k - 1, n, rate)
    assert tail <= 1 - confidence
    assert np.mean(true_rate > rate) == pytest.approx(tail, abs=4 * math.sqrt(tail * (1 - tail) / runs))


def test_ties_only_lower_the_rate() -> None:
    n, rate, confidence, runs = 299, 0.01, 0.95, 4000
    k = largest_rank(n, rate, confidence)
    assert k is not None
    line = stats.poisson(30)
    scores = line.rvs((runs, n), random_state=np.random.default_rng(7))
    true_rate = line.sf(np.sort(scores, axis=1)[:, n - k])
    assert np.mean(true_rate > rate) <= 1 - confidence


def test_conformal_rate_holds_on_average() -> None:
    n, rate, runs = 120, 0.05, 4000
    k = conformal_rank(n, rate)
    assert k == 6
    true_rate = 1 - np.sort(np.random.default_rng(7).random((runs, n)), axis=1)[:, n - k]
    assert true_rate.mean() == pytest.approx(k / (n + 1), abs=4 * true_rate.std() / math.sqrt(runs))
    assert k / (n + 1) <= rate < (k + 1) / (n + 1)


def test_no_scores_support_no_threshold() -> None:
    assert largest_rank(0, 0.5, 0.5) is None
    assert conformal_rank(0, 0.5) is None


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 5.0, math.nan])
def test_shares_outside_0_to_1_are_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        largest_rank(100, wrong, 0.95)
    with pytest.raises(ConfigError, match="confidence must lie between 0 and 1"):
        upper_bound(100, 1, wrong)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        conformal_rank(100, wrong)


@pytest.mark.parametrize("k", [0, 11])
def test_ranks_outside_the_scores_are_refused(k: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and the number of scores 10"):
        upper_bound(10, k, 0.95)


@pytest.mark.parametrize(("share", "text"), [(0.01, "1 %"), (0.005, "0.5 %"), (0.07, "7 %"), (0.9999, "99.99 %")])
def test_shares_read_as_people_write_them(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("rate", [1e-310, 1e-7])
def test_a_rate_that_no_line_could_show_is_refused(rate: float) -> None:
    for refused in (
        lambda: required_parts(rate, 0.95),
        lambda: largest_rank(10, rate, 0.95),
        lambda: conformal_rank(10, rate),
    ):
        with pytest.raises(ConfigError, match="at least 1e-06"):
            refused()
    assert required_parts(1e-6, 0.95) == 2995731
