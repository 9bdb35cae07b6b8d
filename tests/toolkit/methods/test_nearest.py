"""Nearest neighbour: the distance written out, its unit, what a bank keeps, and pictures that it holds."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from csflow.runtime.errors import DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import pooled
from csflow.toolkit.methods.method import SCORE_FLOOR, Workplace
from csflow.toolkit.methods.nearest import (
    Nearest,
    NearestConfig,
    NearestHead,
    NearestTraining,
    coreset,
    neighbour_distances,
)

WORK = Workplace(Path(), "", torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None))


def features(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Maps whose channels differ in scale; one never varies."""
    draw = np.random.default_rng(seed)
    scale = np.array([1.0, 30.0, 0.0])[:, None, None]
    return tuple((draw.normal(size=(count, 3, side, side)) * scale + 5.0).astype(np.float32) for side in (6, 3))


def fit(maps: tuple[np.ndarray, ...], bank: int = 1000) -> tuple[NearestHead, tuple[float, ...]]:
    fitted = Nearest().fit(FeatureFiles(maps), NearestConfig(), NearestTraining(bank), WORK)
    assert isinstance(fitted.head, NearestHead)
    assert fitted.facts == {"pictures": fitted.head.config.pictures}
    return fitted.head, fitted.good_scores


def scores(head: NearestHead, maps: tuple[np.ndarray, ...]) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(head(*(torch.from_numpy(x) for x in maps))[0])


def vectors(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    return pooled(tuple(torch.from_numpy(x).double() for x in maps)).flatten(1).numpy()


def squares(x: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Squared distances (N, B) in spreads of the good."""
    spread = good.std(axis=0, ddof=1)
    spread[spread < 1e-6] = 1.0
    return np.asarray(np.square((x[:, None] - good[None]) / spread).sum(axis=2))


def test_score_is_the_squared_distance_over_twice_its_median_for_good_pictures_left_out() -> None:
    good, new = features(30), features(8, seed=1)
    head, left_out = fit(good)
    among = squares(vectors(good), vectors(good)) + np.diag([np.inf] * 30)
    unit = np.sort(among.min(axis=1))[14]  # the lower of two middle ones, as torch's median
    expected = squares(vectors(new), vectors(good)).min(axis=1) / (2 * unit)
    np.testing.assert_allclose(scores(head, new) - SCORE_FLOOR, expected, rtol=1e-4)
    np.testing.assert_allclose(np.array(left_out) - SCORE_FLOOR, among.min(axis=1) / (2 * unit), rtol=1e-6)


def test_a_picture_of_the_bank_scores_next_to_nothing_and_never_nothing() -> None:
    good = features(30)
    got = scores(fit(good)[0], good)
    assert (got >= SCORE_FLOOR).all()
    assert (got < 1e-4).all()


def test_a_bank_keeps_what_is_far_apart() -> None:
    z = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.1, 0.0], [0.0, -7.0], [3.0, 0.0]])
    assert coreset(z, 4).tolist() == [5, 4, 3, 0]
    assert coreset(z, 6).tolist() == coreset(z, 100).tolist() == [0, 1, 2, 3, 4, 5]
    head, good_scores = fit(features(30), bank=7)
    assert head.config.pictures == 7
    assert head.bank.get_buffer("vectors").shape[1] == 7
    assert len(good_scores) == 30


def test_no_picture_is_its_own_neighbour() -> None:
    z = torch.tensor([[0.0], [1.0], [5.0]])
    assert neighbour_distances(z, torch.tensor([0, 1, 2])).tolist() == [1.0, 1.0, 16.0]
    assert neighbour_distances(z, torch.tensor([0, 2])).tolist() == [25.0, 1.0, 25.0]
    assert neighbour_distances(z, torch.tensor([1])).tolist() == [1.0, 16.0]
    mirrored = torch.tensor([[0.0], [0.5], [2.0], [6.0]])
    assert neighbour_distances(mirrored, torch.arange(4), variants=2).tolist() == [4.0, 2.25, 2.25, 30.25]
    assert neighbour_distances(mirrored, torch.tensor([1, 3]), variants=2).tolist() == [36.0, 30.25, 2.25, 30.25]


def test_equal_pictures_still_give_a_score_and_one_is_too_few() -> None:
    (score,) = scores(fit(tuple(np.repeat(x, 2, axis=0) for x in features(1)))[0], features(1, seed=2))
    assert 0.0 < score < float("inf")
    with pytest.raises(DataError, match="at least 2"):
        fit(features(1))
    with pytest.raises(ValueError, match="bank"):
        NearestTraining(0)
