"""The difference of two AUROCs, and the interval of its draws."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from csflow.calibration.paired import auroc, paired


def test_auroc_is_that_of_scikit_learn_ties_included() -> None:
    draw = np.random.default_rng(0)
    good, bad = draw.integers(0, 9, 50).astype(float), draw.integers(3, 12, 70).astype(float)
    labels = np.r_[np.zeros(50), np.ones(70)]
    assert auroc(good, bad) == pytest.approx(roc_auc_score(labels, np.r_[good, bad]))


def test_an_interval_holds_the_difference_and_is_narrower_for_detectors_that_agree() -> None:
    draw = np.random.default_rng(0)
    is_good = [True] * 60 + [False] * 60
    scores = draw.normal(size=120) + np.repeat([0.0, 1.5], 60)
    alike, apart = scores + draw.normal(scale=0.1, size=120), draw.normal(size=120) + np.repeat([0.0, 1.5], 60)
    near, far = (paired(other.tolist(), scores.tolist(), is_good, draws=300) for other in (alike, apart))
    for found in (near, far):
        assert found.low <= found.difference <= found.high
        assert found.difference == pytest.approx(found.first - found.second)
    assert near.high - near.low < 0.5 * (far.high - far.low)


def test_bounds_are_those_of_drawing_the_same_pictures_for_both() -> None:
    draw = np.random.default_rng(1)
    is_good = draw.permutation([True] * 30 + [False] * 40)
    first, second = draw.integers(0, 30, (2, 70)) + np.where(is_good, 0.0, [[20.0], [6.0]])
    random, good, bad = np.random.default_rng(7), np.flatnonzero(is_good), np.flatnonzero(~is_good)
    drawn = []
    for _ in range(60):
        picked = np.r_[good[random.integers(30, size=30)], bad[random.integers(40, size=40)]]
        drawn.append(np.subtract(*(roc_auc_score(~is_good[picked], s[picked]) for s in (first, second))))
    found = paired(first.tolist(), second.tolist(), is_good.tolist(), draws=60, seed=7)
    assert (found.first, found.second) == pytest.approx([roc_auc_score(~is_good, s) for s in (first, second)])
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)))
    assert found.low > 0.0


def test_a_detector_does_not_differ_from_itself() -> None:
    scores = [0.1, 0.5, 0.3, 0.9]
    found = paired(scores, scores, [True, True, False, False], draws=20)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
