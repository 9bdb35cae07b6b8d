"""GLAD's map is the sum of log-likelihoods below the peaks, its score an order statistic of the map."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.glad.config import GladConfig, GladTraining
from csflow.toolkit.methods.glad.head import MOST_SELECTED, NEVER, GladHead, LayerMixture, rank
from csflow.toolkit.methods.glad.method import Glad
from csflow.toolkit.methods.method import Workplace
from csflow.toolkit.methods.spread import PlaceSpread

SHAPES = ((2, 8, 8), (3, 4, 4))


def features(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Maps whose left half lies elsewhere than their right half; channels differ in scale."""
    draw = np.random.default_rng(seed)
    maps = []
    for c, h, w in SHAPES:
        x = draw.normal(size=(count, c, h, w))
        x[:, 0, :, w // 2 :] += 8.0
        maps.append((x * np.array([1.0, 30.0, 0.02])[:c, None, None]).astype(np.float32))
    return tuple(maps)


def workplace(folder: Path, fingerprint: str = "a") -> Workplace:
    return Workplace(folder, fingerprint, torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None))


def fit(folder: Path, count: int = 30, config: GladConfig | None = None, in_spread: bool = False) -> GladHead:
    config = Glad().settle(config or GladConfig(components=2), SHAPES)
    fitted = Glad().fit(FeatureFiles(features(count)), config, GladTraining(in_spread=in_spread), workplace(folder))
    assert isinstance(fitted.head, GladHead)
    return fitted.head


def run(head: GladHead, maps: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return head(*(torch.from_numpy(x) for x in maps))


def log_likelihood(layer: LayerMixture, x: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, h, w) of features (N, C, h, w), written out with SciPy, and the highest peak."""
    kept, c = layer.kept, x.shape[1]
    z = (x - layer.mean.numpy()) / layer.scale.numpy()  # type: ignore[operator]
    matrices = layer.matrix.numpy().reshape(kept, c, c).astype(float)  # type: ignore[operator]
    offsets = layer.offset.numpy().reshape(kept, c).astype(float)  # type: ignore[operator]
    weights = np.exp(layer.log_weights.numpy().astype(float))  # type: ignore[operator]
    normals = [
        multivariate_normal(-np.linalg.solve(a, b), np.linalg.inv(a.T @ a))
        for a, b in zip(matrices, offsets, strict=True)
    ]
    parts = np.stack([normal.logpdf(z.transpose(0, 2, 3, 1)) for normal in normals])
    found = logsumexp(parts, axis=0, b=np.broadcast_to(weights[:, None], parts.shape))
    return found, max(normal.logpdf(normal.mean) for normal in normals)


def test_the_map_is_twice_the_log_likelihood_below_the_peaks_per_dimension(tmp_path: Path) -> None:
    head, new = fit(tmp_path), features(5, seed=1)
    _, anomaly_map = run(head, new)
    (fine, top), (coarse, other) = (log_likelihood(m, x) for m, x in zip(head.layers(), new, strict=True))
    larger = [
        torch.nn.functional.interpolate(torch.from_numpy(x)[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
        for x in (fine, coarse)
    ]
    np.testing.assert_allclose(anomaly_map, 2 * (top + other - sum(larger)) / 5, rtol=1e-3, atol=1e-3)


def test_positions_are_in_units_of_the_spread_of_the_fitted_pictures(tmp_path: Path) -> None:
    head, new = fit(tmp_path / "spread", in_spread=True), features(5, seed=1)
    plain = fit(tmp_path / "plain")
    good = run(plain, features(30))[1].double()
    expected = PlaceSpread(64, 64)
    expected.set(good.mean(dim=0), good.var(dim=0, correction=0), 30, torch.ones(64, 64))
    score, anomaly_map = run(head, new)
    np.testing.assert_allclose(anomaly_map, expected(run(plain, new)[1]), rtol=1e-3)
    assert torch.equal(score, anomaly_map.flatten(1).topk(head.rank).values[:, -1] / 2)


def test_an_older_bundles_map_is_as_large_as_its_finest_feature_map(tmp_path: Path) -> None:
    head = fit(tmp_path)
    older = GladHead(dataclasses.replace(head.config, grid=0), SHAPES)
    older.load_state_dict(head.state_dict())
    assert run(older.eval(), features(2))[1].shape == (2, 8, 8)


def test_the_score_is_half_the_order_statistic_of_the_map(tmp_path: Path) -> None:
    for quantile in (0.0, 0.0049, 0.1, 0.5):
        head = fit(tmp_path / str(quantile), config=GladConfig(components=2, quantile=quantile))
        score, anomaly_map = run(head, features(5, seed=1))
        expected = -np.quantile(-anomaly_map.numpy().reshape(5, -1), quantile, axis=1, method="lower") / 2
        np.testing.assert_allclose(score, expected, rtol=1e-6)


def test_maps_are_never_negative_at_the_peaks_themselves() -> None:
    head = GladHead(Glad().settle(GladConfig(components=2), SHAPES), SHAPES)
    for layer in head.layers():
        c = layer.standardised(torch.zeros(1, *layer.mean.shape)).shape[1]  # type: ignore[arg-type]
        layer.matrix.copy_(10.0 * torch.eye(c).repeat(2, 1)[:, :, None, None])  # type: ignore[operator]
        layer.log_weights[1] = NEVER  # type: ignore[operator]
        layer.peaks.copy_(torch.tensor([300.0, 300.0]))  # type: ignore[operator]
    score, anomaly_map = run(head, tuple(np.zeros((1, *shape), np.float32) for shape in SHAPES))
    assert float(score) > 0.0
    assert float(anomaly_map.min()) > 0.0


def test_a_vector_that_is_good_elsewhere_is_strange_where_no_good_part_had_it(tmp_path: Path) -> None:
    head, good = fit(tmp_path), features(1, seed=1)
    swapped = tuple(np.ascontiguousarray(x[..., ::-1]) for x in good)
    weights = [layer.log_weights.exp() for layer in head.layers()]  # type: ignore[operator]
    assert all(((w == 0.0) | (w == 1.0)).all() for w in weights)
    assert float(run(head, swapped)[0]) > 3.0 * float(run(head, good)[0])


def test_a_weight_of_nothing_stays_nothing_however_far_a_vector_lies(tmp_path: Path) -> None:
    head = fit(tmp_path)
    far = tuple(1e6 * np.ones((1, *shape), np.float32) for shape in SHAPES)
    score, anomaly_map = run(head, far)
    assert torch.isfinite(anomaly_map).all()
    for layer in head.layers():
        layer.log_weights[layer.log_weights == NEVER] = 10.0 * NEVER  # type: ignore[operator, index]
    assert torch.equal(run(head, far)[0], score)


def test_what_is_no_number_gives_no_score(tmp_path: Path) -> None:
    spoilt = features(3)
    spoilt[1][1, 2, 0, 0] = np.nan
    score, anomaly_map = run(fit(tmp_path), spoilt)
    assert torch.isfinite(score).tolist() == [True, False, True]
    assert not torch.isfinite(anomaly_map[1]).all()


def test_a_rank_that_no_plan_can_select_is_refused() -> None:
    assert rank(GladConfig(), ((48, 48, 48),)) == 12
    assert rank(GladConfig(quantile=0.0), ((48, 48, 48),)) == 1
    with pytest.raises(ValueError, match=f"{MOST_SELECTED} can be selected"):
        Glad().settle(GladConfig(quantile=0.5), ((48, 96, 96),))


def test_an_interrupted_fit_goes_on_with_the_mixtures_that_are_done(tmp_path: Path) -> None:
    first = fit(tmp_path)
    (tmp_path / "mixture_1.safetensors").unlink()
    stamp = (tmp_path / "mixture_0.safetensors").stat().st_mtime_ns
    again = fit(tmp_path)
    assert (tmp_path / "mixture_0.safetensors").stat().st_mtime_ns == stamp
    for name, tensor in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_progress_of_another_training_or_damaged_is_refused_in_words(tmp_path: Path) -> None:
    fit(tmp_path)
    config = Glad().settle(GladConfig(components=2), SHAPES)
    with pytest.raises(ConfigError, match="--fresh"):
        Glad().fit(FeatureFiles(features(30)), config, GladTraining(), workplace(tmp_path, "b"))
    (tmp_path / "mixture_0.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"is damaged.*--fresh"):
        Glad().fit(FeatureFiles(features(30)), config, GladTraining(), workplace(tmp_path))


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2"):
        fit(tmp_path, count=1)
    assert np.isfinite(float(run(fit(tmp_path, count=2), features(1, seed=1))[0]))


@pytest.mark.parametrize("values", [{"components": 0}, {"quantile": 1.0}, {"quantile": -0.1}])
def test_configurations_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        GladConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"passes": 0}, {"ridge": 0.0}, {"samples": 1}, {"seed": -1}])
def test_trainings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        GladTraining(**values)  # type: ignore[arg-type]


def test_the_score_may_be_of_the_deepest_map_alone(tmp_path: Path) -> None:
    head, new = fit(tmp_path, config=GladConfig(components_each=(2, 1), score_maps=1)), features(5, seed=1)
    assert head.config.kept == (2, 1)
    score, anomaly_map = run(head, new)
    alone = GladHead(dataclasses.replace(head.config, components_each=(), kept=(1,), score_maps=0), SHAPES[1:])
    alone.mixtures[0].load_state_dict(head.mixtures[1].state_dict())
    torch.testing.assert_close(score, run(alone, new[1:])[0])
    plain = GladHead(dataclasses.replace(head.config, score_maps=0), SHAPES)
    plain.load_state_dict(head.state_dict())
    torch.testing.assert_close(anomaly_map, run(plain, new)[1])
    assert head.definitions is not None
    assert head.definitions.score.endswith("of the deepest 1 of 2")
    assert plain.definitions is None


def test_a_bad_value_of_the_map_that_is_not_scored_gives_no_score(tmp_path: Path) -> None:
    head, (fine, coarse) = fit(tmp_path, config=GladConfig(components=2, score_maps=1)), features(1, seed=1)
    fine[0, 0, 0, 0] = np.nan
    assert torch.isnan(run(head, (fine, coarse))[0]).all()


@pytest.mark.parametrize("values", [{"components_each": (2,)}, {"score_maps": 3}])
def test_options_of_other_numbers_of_feature_maps_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are 2"):
        Glad().settle(GladConfig(**values), SHAPES)
