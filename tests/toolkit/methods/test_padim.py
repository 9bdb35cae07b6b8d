"""PaDiM: the distance of every position written out, channels that fit, shrinkage, and pictures left out."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, Workplace
from csflow.toolkit.methods.padim import LEAST, PaDiM, PaDiMConfig, PaDiMHead, PaDiMTraining
from csflow.toolkit.methods.spread import PlaceSpread
from csflow.toolkit.plan import BackboneChoice, model_plan

SHAPES = ((3, 4, 4), (4, 2, 2))
WORK = Workplace(Path(), "", torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None))


def features(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Maps whose channels differ in scale, depend on each other, and vary more on one side; one never varies."""
    draw = np.random.default_rng(seed)
    maps = []
    for c, h, w in SHAPES:
        x = draw.normal(size=(count, c, h, w)) * np.array([1.0, 30.0, 0.02, 1.0])[:c, None, None]
        x[:, 1] += 20.0 * x[:, 0]
        x[:, 2] *= 0.0 if c == 4 else 1.0
        maps.append((x * np.linspace(0.5, 2.0, w)).astype(np.float32))
    return tuple(maps)


def fit(
    maps: tuple[np.ndarray, ...],
    shrinkage: float = 0.1,
    channels: int = 0,
    variants: int = 1,
    in_spread: bool = False,
) -> Fitted:
    method, files, training = PaDiM(), FeatureFiles(maps, variants), PaDiMTraining(shrinkage, in_spread=in_spread)
    return method.fit(files, method.settle(PaDiMConfig(channels), files.shapes), training, WORK)


def run(fitted: Fitted, maps: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        score, anomaly_map = fitted.head(*(torch.from_numpy(x) for x in maps))
    return score.numpy(), anomaly_map.numpy()


def stacked(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    """(N, D, 4, 4): all channels, those of the coarse map repeated."""
    return np.concatenate([x.astype(float).repeat(4 // x.shape[2], 2).repeat(4 // x.shape[3], 3) for x in maps], axis=1)


def distances(new: np.ndarray, good: np.ndarray, shrinkage: float, scale: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance per dimension of (n, D) to the Gaussian of (N, D), written out."""
    gap, z = (new - good.mean(axis=0)) / scale, (good - good.mean(axis=0)) / scale
    covariance = z.T @ z / (len(z) - 1)
    variance = max(np.trace(covariance) / len(covariance), LEAST)
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * variance * np.eye(len(covariance))
    return np.asarray((gap * np.linalg.solve(shrunk, gap.T).T).mean(axis=1))


def channel_scale(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    scale = np.concatenate([x.astype(float).std(axis=(0, 2, 3)) for x in maps])
    return np.where(scale > 1e-6, scale, 1.0)


def left_out(good: np.ndarray, shrinkage: float, scale: np.ndarray) -> np.ndarray:
    """(N,): the distance of each of (N, D) to the Gaussian of the others, whose unit is that of all."""
    z = (good - good.mean(axis=0)) / scale
    z /= np.sqrt(np.square(z).sum() / (len(z) - 1) / z.shape[1])
    found = []
    for i in range(len(z)):
        others = np.delete(z, i, axis=0)
        shrunk = (1.0 - shrinkage) * np.cov(others.T) + shrinkage * np.eye(z.shape[1])
        gap = z[i] - others.mean(axis=0)
        found.append(gap @ np.linalg.solve(shrunk, gap) / z.shape[1])
    return np.array(found)


def test_map_is_the_distance_over_its_mean_for_pictures_left_out_and_score_half_its_maximum() -> None:
    good, new = features(60), features(6, seed=1)
    fitted = fit(good)
    score, anomaly_map = run(fitted, new)
    old, fresh, scale = stacked(good), stacked(new), channel_scale(good)
    worst = np.zeros(60)
    for row in range(4):
        for column in range(4):
            others = left_out(old[:, :, row, column], 0.1, scale)
            expected = distances(fresh[:, :, row, column], old[:, :, row, column], 0.1, scale) / others.mean()
            np.testing.assert_allclose(anomaly_map[:, row, column], expected, rtol=2e-3)
            worst = np.maximum(worst, others / others.mean())
    np.testing.assert_allclose(score, anomaly_map.max(axis=(1, 2)) / 2 + SCORE_FLOOR, rtol=1e-6)
    np.testing.assert_allclose(fitted.good_scores, worst / 2 + SCORE_FLOOR, rtol=1e-6)


def test_positions_are_in_units_of_the_spread_of_pictures_left_out() -> None:
    good, new = features(60), features(6, seed=1)
    fitted, plain = fit(good, in_spread=True), fit(good)
    (score, anomaly_map), (_, distance) = run(fitted, new), run(plain, new)
    old, scale = stacked(good), channel_scale(good)
    others = np.stack([[left_out(old[:, :, r, c], 0.1, scale) for c in range(4)] for r in range(4)])
    relative = others / others.mean(axis=2, keepdims=True)
    expected = PlaceSpread(4, 4)
    expected.set(torch.ones(4, 4), torch.from_numpy(relative.var(axis=2)), 60, torch.ones(4, 4))
    np.testing.assert_allclose(anomaly_map, expected(torch.from_numpy(distance)), rtol=1e-4)
    np.testing.assert_allclose(score, anomaly_map.max(axis=(1, 2)) / 2 + SCORE_FLOOR, rtol=1e-6)
    left = expected(torch.from_numpy(relative).permute(2, 0, 1)).amax(dim=(1, 2)) / 2 + SCORE_FLOOR
    np.testing.assert_allclose(fitted.good_scores, left, rtol=1e-4)


def test_new_good_pictures_are_about_one_deviation_away_in_each_dimension_however_few_were_fitted() -> None:
    for count in (9, 200):
        _, anomaly_map = run(fit(features(count), 0.01), features(400, seed=1))
        assert np.mean(anomaly_map) == pytest.approx(1.0, rel=0.35 if count == 9 else 0.05)


def test_a_mirror_image_does_not_stand_in_for_its_picture() -> None:
    good, new = features(12), features(40, seed=1)
    _, expected = run(fit(good), new)
    _, got = run(fit(tuple(np.repeat(x, 2, axis=0) for x in good), variants=2), new)
    np.testing.assert_allclose(got.mean(), expected.mean(), rtol=0.1)


def test_channels_are_drawn_with_a_seed_and_kept_in_the_state() -> None:
    good = features(30)
    fitted = fit(good, channels=5)
    kept = fitted.head.state_dict()["kept"].tolist()
    assert kept == sorted({*kept})
    assert len(kept) == 5
    whole = fit(good, channels=7)
    assert "kept" not in whole.head.state_dict()
    score, anomaly_map = run(fitted, good)
    x, scale = stacked(good)[:, kept], channel_scale(good)[kept]
    expected = distances(x[:, :, 1, 2], x[:, :, 1, 2], 0.1, scale) / left_out(x[:, :, 1, 2], 0.1, scale).mean()
    np.testing.assert_allclose(anomaly_map[:, 1, 2], expected, rtol=2e-3)
    assert (score > 0.0).all()


def test_matrices_stay_within_256_mib_unless_the_user_wants_more_and_within_1_gib() -> None:
    method = PaDiM()
    assert method.settle(PaDiMConfig(), ((120, 24, 24), (208, 12, 12))).channels == 328
    fine = ((176, 48, 48), (304, 24, 24))
    assert method.settle(PaDiMConfig(), fine).channels == 170
    assert method.settle(PaDiMConfig(200), fine).channels == 200
    with pytest.raises(ValueError, match="at most 341 channels"):
        method.settle(PaDiMConfig(400), fine)
    with pytest.raises(ValueError, match="the features have 480"):
        method.settle(PaDiMConfig(500), fine)
    with pytest.raises(ConfigError, match="channels must be"):
        model_plan("padim?channels=-1", BackboneChoice("tf_efficientnet_lite0", 128))
    assert isinstance(method.head(PaDiMConfig(), SHAPES), PaDiMHead)


def test_equal_pictures_still_give_a_score_and_one_is_too_few() -> None:
    score, anomaly_map = run(fit(tuple(np.repeat(x, 2, axis=0) for x in features(1))), features(1, seed=2))
    assert 0.0 < score[0] < float("inf")
    assert np.isfinite(anomaly_map).all()
    with pytest.raises(DataError, match="at least 2"):
        fit(features(1))
    with pytest.raises(ValueError, match="shrinkage"):
        PaDiMTraining(0.0)
