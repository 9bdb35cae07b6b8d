"""A whitened flow: what its first layer makes of good parts, and scores in which a small defect counts more."""

import numpy as np
import pytest
import torch

from csflow.runtime.errors import ConfigError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead, score
from csflow.toolkit.methods.flow.method import CSFlow
from csflow.toolkit.methods.flow.whiten import SHRINKAGE, Whiten
from csflow.toolkit.options import checked

SHAPES = ((4, 4, 4), (4, 2, 2))


def parts(count: int = 60, still: bool = False) -> FeatureFiles:
    """Features whose channels depend on each other, otherwise at every position; one may never vary at one."""
    draw = np.random.default_rng(0)
    maps = []
    for channels, side, _ in SHAPES:
        mix = draw.standard_normal((side, side, channels, channels))
        x = np.einsum("hwij,njhw->nihw", mix, draw.standard_normal((count, channels, side, side)))
        x += draw.standard_normal((channels, side, side))
        if still:
            x[:, 1, 0, 0] = 3.0
        maps.append(x.astype(np.float32))
    return FeatureFiles(tuple(maps))


def test_good_parts_come_out_with_mean_0_and_the_identity_but_for_shrinkage() -> None:
    features = parts()
    layer = Whiten(4, [4, 2]).double()
    layer.fit(features)
    x = tuple(torch.from_numpy(a).double() for a in features.maps)
    z, log_det = layer(x)
    place = z[0][:, :, 2, 1]
    torch.testing.assert_close(place.mean(dim=0), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-6)
    samples = x[0][:, :, 2, 1]
    covariance = torch.cov(samples.T, correction=0)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.diag(covariance.diagonal())
    matrix = layer.matrix(0)[2 * 4 + 1]
    torch.testing.assert_close(matrix @ shrunk @ matrix.T, torch.eye(4, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    whole = sum(torch.linalg.slogdet(layer.matrix(i)).logabsdet.sum() for i in range(2))
    torch.testing.assert_close(log_det, whole.expand(60), rtol=1e-6, atol=1e-6)


def test_a_channel_that_never_varies_at_a_position_makes_no_anomaly_of_rounding() -> None:
    features = parts(still=True)
    layer = Whiten(4, [4, 2])
    layer.fit(features)
    x = tuple(torch.from_numpy(a.copy()) for a in features.maps)
    x[0][:, 1, 0, 0] += 1e-5
    z, _ = layer(x)
    assert bool(torch.isfinite(z[0]).all())
    assert float(z[0][:, :, 0, 0].abs().max()) < 6.0


def test_it_is_as_large_as_the_maps() -> None:
    method = CSFlow()
    settled = method.settle(FlowConfig(kernel_sizes=(1,), hidden=4, whiten=True), SHAPES)
    assert settled.side == 4
    assert isinstance(method.head(settled, SHAPES).flow.layers[0], Whiten)
    with pytest.raises(ConfigError, match="smaller image size"):
        checked(method.settle, FlowConfig(whiten=True), ((304, 64, 64), (304, 32, 32), (304, 16, 16)))
    with pytest.raises(ValueError, match="leave 'standardise' at yes"):
        FlowConfig(whiten=True, standardise=False)


@pytest.mark.parametrize("power", [2, 3, 4])
def test_the_score_is_a_power_mean_of_positions(power: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = tuple(torch.randn(3, *shape, generator=generator) for shape in SHAPES)
    places = torch.cat([(z_i.square() / 2).mean(dim=1).flatten(1) for z_i in z], dim=1)
    torch.testing.assert_close(score(z, power=power), places.pow(power).mean(dim=1).pow(1 / power))
    masks = [torch.ones(4, 4), torch.ones(2, 2)]
    masks[0][0] = 0.0
    counted = torch.cat(
        [(z_i * mask).square().mean(dim=1).flatten(1) / 2 for z_i, mask in zip(z, masks, strict=True)], 1
    )
    expected = (counted.pow(power).sum(dim=1) / 16).pow(1 / power)
    torch.testing.assert_close(score(tuple(z_i * m for z_i, m in zip(z, masks, strict=True)), masks, power), expected)


def test_a_score_of_any_power_stays_in_range() -> None:
    flat = tuple(torch.full((1, *shape), 2.0) for shape in SHAPES)
    assert float(score(flat, power=3)) == pytest.approx(2.0)
    assert float(score(tuple(torch.full((1, *shape), 1e6) for shape in SHAPES), power=4)) == pytest.approx(5e11)
    assert float(score(tuple(torch.zeros(1, *shape) for shape in SHAPES), power=2)) == 0.0


@torch.no_grad()
def test_a_head_scores_by_the_power_of_its_configuration() -> None:
    config = FlowConfig(4, 2, (1,), 4, score_power=3)
    head, x = FlowHead(CrossScaleFlow(config)), tuple(torch.ones(1, *shape) for shape in SHAPES)
    x[0][0, :, 1, 1] = 9.0
    assert float(head(*x)[0]) > 1.5 * float(score(head.flow(x)[0]))
    assert head.definitions is not None
    assert head.definitions.score == "power-3-mean-half-z2"
    assert FlowHead(CrossScaleFlow(FlowConfig(4, 2, (1,), 4))).definitions is None
