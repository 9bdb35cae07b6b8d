"""Smooth activations between two roundings, and squeeze-and-excitation in eight bits: near what they stand for."""

import pytest
import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from csflow.toolkit.backbones.int8.rounding import Range, Rounding
from csflow.toolkit.backbones.int8.smooth import RoundedActivation, RoundedSqueeze, is_smooth


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def fit(module: RoundedActivation | RoundedSqueeze, x: Tensor) -> None:
    """As `csflow.toolkit.backbones.int8.quantized` does."""
    roundings = [m for m in module.modules() if isinstance(m, Rounding)]
    for rounding in roundings:
        rounding.seen = Range()
    module(x)
    for rounding in roundings:
        assert rounding.seen is not None
        rounding.register_buffer("scale", torch.tensor(rounding.seen.scale()))
        rounding.seen = None
    for part in module.modules():
        if isinstance(part, (RoundedActivation, RoundedSqueeze)):
            part.fit()


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.Sigmoid(), nn.Hardswish()])
@pytest.mark.parametrize("width", [0.3, 3.0, 40.0])
@torch.no_grad()
def test_no_value_lies_near_the_edge_of_the_rounding_after(activation: nn.Module, width: float) -> None:
    rounded, x = RoundedActivation(activation), width * noise(4000)
    fit(rounded, x)
    values = activation(rounded.before(x)) + rounded.get_buffer("offset")
    step = rounded.after.get_buffer("scale")
    assert torch.equal(rounded.after(values * (1 + 1e-5)), rounded.after(values * (1 - 1e-5)))
    assert abs(float(rounded.get_buffer("offset"))) <= float(step) / 4
    got, expected = rounded(x), activation(x)
    assert float((got - expected).norm() / expected.norm()) < 0.05


@torch.no_grad()
def test_a_squeeze_is_near_the_one_that_it_was_made_of_whatever_the_number_of_positions() -> None:
    for side in (8, 12):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            squeeze = SqueezeExcite(16, act_layer=nn.SiLU).eval()
        x = noise(2, 16, side, side).sigmoid() * 4
        expected = squeeze(x)
        rounded = RoundedSqueeze(squeeze)
        fit(rounded, x)
        assert float((rounded(x) - expected).norm() / expected.norm()) < 0.02


def test_what_engines_compute_alike_is_not_smooth() -> None:
    assert [is_smooth(a) for a in (nn.ReLU(), nn.ReLU6(), nn.Identity(), nn.SiLU())] == [False, False, False, True]
