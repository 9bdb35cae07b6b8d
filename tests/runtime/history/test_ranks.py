"""Rank statistics against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from csflow.runtime.history.ranks import detectable, exceedance, mann_whitney, parts_needed, shift_bound


def test_ranks_of_two_samples_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    draw = np.random.default_rng(3)
    for n, m, shift in ((20, 30, 0.0), (119, 15, 0.7), (50, 50, -1.0)):
        # Rounded, so that there are ties.
        first, second = draw.normal(size=n).round(1), (draw.normal(size=m) + shift).round(1)
        p, above = mann_whitney(first, second)
        known = stats.mannwhitneyu(second, first, alternative="two-sided", method="asymptotic")
        assert p == pytest.approx(known.pvalue, rel=1e-9)
        assert above == pytest.approx(known.statistic / (n * m), rel=1e-12)


def test_values_that_are_all_the_same_prove_nothing() -> None:
    assert mann_whitney([1.0] * 20, [1.0] * 20) == (1.0, 0.5)
    assert mann_whitney([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == (1.0, 0.5)


def test_a_shift_is_found_and_bounded() -> None:
    draw = np.random.default_rng(4)
    first, second = draw.normal(size=100), draw.normal(size=60) + 2.0
    found, most = shift_bound(first, second, 0.01)
    assert found == pytest.approx(2.0, abs=0.4)
    assert found < most < found + 1.0


def test_the_bounds_of_a_shift_are_those_of_all_differences() -> None:
    draw = np.random.default_rng(6)
    for n, m, digits in ((1, 1, 9), (30, 7, 9), (40, 50, 1)):
        first, second = draw.normal(size=n).round(digits), draw.normal(size=m).round(digits)
        differences = np.sort(np.subtract.outer(second, first).ravel())
        place = math.ceil(n * m / 2 + 2.326348 * math.sqrt(n * m * (n + m + 1) / 12))
        found, most = shift_bound(first, second, 0.01)
        assert found == pytest.approx(np.median(differences), abs=1e-9)
        assert most == pytest.approx(differences[min(place, n * m - 1)], abs=1e-9)


def test_exceedance_is_the_share_of_exchangeable_orders() -> None:
    assert exceedance(0, 10, 1, 20) == 1.0
    assert exceedance(1, 1, 1, 1) == pytest.approx(0.5)
    assert exceedance(1, 1, 3, 20) == pytest.approx(3 / 21)
    # Two new values above both of two known ones: 1 of the 6 orders.
    assert exceedance(2, 2, 1, 2) == pytest.approx(1 / 6)
    assert math.fsum(exceedance(x, 40, 2, 119) for x in range(1, 41)) == pytest.approx(40 * 2 / 120)
    assert exceedance(40, 40, 21, 20) == pytest.approx(1.0, abs=1e-6), "a bound below all"


def test_so_many_parts_tell_a_shift_four_times_in_five() -> None:
    alpha, shift, known = 0.0025, 0.5, 300
    parts = parts_needed(shift, known, alpha)
    assert parts is not None
    assert detectable(parts, known, alpha) == pytest.approx(shift, rel=0.01)
    draw = np.random.default_rng(5)
    told = sum(mann_whitney(draw.normal(size=known), draw.normal(size=parts) + shift)[0] < alpha for _ in range(300))
    assert 0.72 < told / 300 < 0.9
    assert parts_needed(0.1, 50, alpha) is None, "no number of parts makes up for so few in the calibration"
    assert detectable(2, 3, alpha) == math.inf
