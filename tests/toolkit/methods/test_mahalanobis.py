"""Mahalanobis: whitened good pictures, the paper's distance, and scores of pictures that were left out."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from csflow.runtime.errors import DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import PLACE_SHRINKAGE, ledoit_wolf, left_out_scores, pooled
from csflow.toolkit.methods.mahalanobis import Mahalanobis, MahalanobisConfig, MahalanobisHead, MahalanobisTraining
from csflow.toolkit.methods.method import SCORE_FLOOR, Workplace

SHAPES = ((3, 8, 8), (4, 4, 4))
WORK = Workplace(Path(), "", torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None))


def features(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Maps whose channels differ in scale, depend on each other, and are brighter on one side; one never varies."""
    draw = np.random.default_rng(seed)
    maps = []
    for c, h, w in SHAPES:
        x = draw.normal(size=(count, c, h, w)) * np.array([1.0, 30.0, 0.02, 1.0])[:c, None, None]
        x[:, 1] += 20.0 * x[:, 0] + np.linspace(0.0, 90.0, w)
        x[:, 2] *= 0.0 if c == 4 else 1.0
        maps.append(x.astype(np.float32))
    return tuple(maps)


def fit(maps: tuple[np.ndarray, ...], shrinkage: float | None = 0.1) -> MahalanobisHead:
    fitted = Mahalanobis().fit(FeatureFiles(maps), MahalanobisConfig(), MahalanobisTraining(shrinkage), WORK)
    assert isinstance(fitted.head, MahalanobisHead)
    return fitted.head


def run(head: MahalanobisHead, maps: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        score, anomaly_map = head(*(torch.from_numpy(x) for x in maps))
    return score.numpy(), anomaly_map.numpy()


def vectors(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    return pooled(tuple(torch.from_numpy(x).double() for x in maps)).flatten(1).numpy()


def distances(x: np.ndarray, good: np.ndarray, shrinkage: float) -> np.ndarray:
    """Half the squared Mahalanobis distance per dimension, written out."""
    covariance = np.cov(good.T)
    scale = np.sqrt(np.diag(covariance))
    scale[scale < 1e-6] = 1.0
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    shrunk = (1.0 - shrinkage) * correlation + shrinkage * np.eye(len(scale))
    z = (x - good.mean(axis=0)) / scale
    return (z * np.linalg.solve(shrunk, z.T).T).sum(axis=1) / (2 * len(scale))


def test_score_is_half_the_squared_distance_per_dimension() -> None:
    good, new = features(50), features(10, seed=1)
    score, _ = run(fit(good), new)
    np.testing.assert_allclose(score - SCORE_FLOOR, distances(vectors(new), vectors(good), 0.1), rtol=1e-3)


def test_map_is_the_squared_distance_to_the_mean_of_the_place_per_dimension() -> None:
    good, new = features(40), features(5, seed=1)
    _, anomaly_map = run(fit(good), new)
    fine, coarse = (2 * distances_of_places(x, g) * x.shape[1] for x, g in zip(new, good, strict=True))
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(coarse)[:, None], (8, 8), mode="bilinear")[:, 0]
    np.testing.assert_allclose(anomaly_map, (fine + enlarged.numpy()) / 7, rtol=2e-3)


def distances_of_places(x: np.ndarray, good: np.ndarray) -> np.ndarray:
    centred = good.astype(float) - good.mean(axis=0, dtype=float)
    # One covariance of all places: every place lost one degree of freedom to its mean.
    count, c, h, w = good.shape
    flat = centred.transpose(0, 2, 3, 1).reshape(-1, c)
    rows = np.concatenate([flat, -flat]) * np.sqrt((2 * len(flat) - 1) / (2 * (count - 1) * h * w))
    z = (x - good.mean(axis=0, dtype=float)).transpose(0, 2, 3, 1).reshape(-1, c)
    return distances(z, rows, PLACE_SHRINKAGE).reshape(len(x), h, w)


def test_good_pictures_are_about_one_deviation_away_in_each_dimension() -> None:
    score, anomaly_map = run(fit(features(400), 1e-3), features(200, seed=1))
    # One of fourteen pooled dimensions and one of seven channels never varied.
    assert np.mean(score) == pytest.approx(0.5 * 12 / 14, rel=0.1)
    assert np.mean(anomaly_map) == pytest.approx(6 / 7, rel=0.05)


@pytest.mark.parametrize("variants", [1, 3])
def test_left_out_scores_are_those_of_fits_without_the_picture_and_its_mirror_images(variants: int) -> None:
    x = vectors(features(12))
    z = torch.from_numpy((x - x.mean(axis=0)) / np.where(x.std(axis=0) > 1e-6, x.std(axis=0, ddof=1), 1.0))
    got = left_out_scores(z, 0.2, variants)
    for i in range(len(z)):
        first = i // variants * variants
        others = np.delete(z.numpy(), range(first, first + variants), axis=0)
        shrunk = 0.8 * np.cov(others.T) + 0.2 * np.eye(z.shape[1])
        gap = z[i].numpy() - others.mean(axis=0)
        assert float(got[i]) == pytest.approx(gap @ np.linalg.solve(shrunk, gap) / (2 * z.shape[1]), rel=1e-9)
    assert len(left_out_scores(z[: 2 * variants], 0.2, 2 * variants - 1)) == 0


def test_shrinkage_is_estimated_unless_given() -> None:
    def fact(count: int, shrinkage: float | None) -> float:
        training = MahalanobisTraining(shrinkage)
        fitted = Mahalanobis().fit(FeatureFiles(features(count)), MahalanobisConfig(), training, WORK)
        return fitted.facts["shrinkage"]

    assert fact(20, 0.3) == 0.3
    assert 0.0 < fact(2000, None) < fact(20, None) <= 1.0


def test_two_equal_pictures_still_give_a_score_and_one_is_too_few() -> None:
    (score, _) = run(fit(tuple(np.repeat(x, 2, axis=0) for x in features(1))), features(1))
    assert 0.0 < score[0] < float("inf")
    with pytest.raises(DataError, match="at least 2"):
        fit(features(1))


def test_of_two_samples_no_correlation_is_believed() -> None:
    samples = torch.randn(4, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    centred = [part - part.mean(dim=0) for part in (samples[:2], samples[:3])]
    assert ledoit_wolf(centred[0]) == 1.0
    assert 0.1 < ledoit_wolf(centred[1]) <= 1.0
