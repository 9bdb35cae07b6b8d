"""Weights rounded by the error of what comes out: never worse than each by itself, and right on average."""

import pytest
import torch
from torch import Tensor, nn

from csflow.toolkit.backbones.int8.least_error import Inputs, whole_weights
from csflow.toolkit.backbones.int8.rounding import LEVELS, round_weights


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated() -> Tensor:
    """(2, 12, 20, 20), of which neighbours in both directions and channels are alike, round a mean of 3."""
    rough = noise(2, 1, 20, 20) + 0.2 * noise(2, 12, 20, 20, seed=1)
    return 3.0 + nn.functional.avg_pool2d(rough, 3, 1, 1)


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("kernel", [1, 3])
@torch.no_grad()
def test_what_comes_out_is_nearer_than_with_nearest_weights(groups: int, kernel: int) -> None:
    conv = nn.Conv2d(12, 24, kernel, groups=groups, bias=False)
    conv.weight.copy_(noise(*conv.weight.shape, seed=2))
    x, inputs = correlated(), Inputs(conv)
    inputs.see(x)
    whole, scale, short = whole_weights(conv.weight, *inputs.moments(conv.weight))
    nearest, _ = round_weights(conv.weight)
    expected = conv(x)

    def error(weight: Tensor) -> Tensor:
        return nn.functional.conv2d(x, weight, groups=groups) - expected

    found, plain = error(whole) + short[:, None, None], error(nearest)
    assert float(found.mean(dim=(0, 2, 3)).abs().max()) < 1e-3, "the bias takes what is off on average"
    spread = plain - plain.mean(dim=(0, 2, 3), keepdim=True)
    if conv.weight[0].numel() > 1:
        assert float(found.norm()) < 0.9 * float(spread.norm())
    steps = whole / scale[:, None, None, None]
    assert torch.equal(steps, steps.round())
    assert float(steps.abs().max()) <= LEVELS


@torch.no_grad()
def test_what_was_never_seen_is_rounded_each_by_itself() -> None:
    conv = nn.Conv2d(6, 5, 3)
    inputs = Inputs(conv)
    inputs.see(torch.zeros(1, 6, 2, 2))
    whole, scale, short = whole_weights(conv.weight, *inputs.moments(conv.weight))
    nearest, powers = round_weights(conv.weight)
    assert torch.equal(whole, nearest)
    assert torch.equal(scale, powers)
    assert not short.any()


@torch.no_grad()
def test_no_power_is_below_the_finest_that_is_asked_for() -> None:
    conv = nn.Conv2d(6, 5, 1)
    moments = Inputs(conv).moments(conv.weight)
    assert float(whole_weights(conv.weight, *moments, 2.0**-4)[1].min()) == 2.0**-4


@torch.no_grad()
def test_moments_are_those_of_what_the_weights_multiply() -> None:
    conv = nn.Conv2d(3, 4, 3, stride=2)
    inputs, x = Inputs(conv), noise(2, 3, 9, 11)
    inputs.see(x[:1])
    inputs.see(x[1:])
    mean, covariance = inputs.moments(conv.weight)
    columns = nn.functional.unfold(x, 3, stride=2).permute(1, 0, 2).flatten(1).double()
    torch.testing.assert_close(mean[0], columns.mean(dim=1))
    expected = torch.cov(columns, correction=0)
    spread = torch.diagonal(expected).mean()
    torch.testing.assert_close(covariance[0], expected, atol=2e-3 * float(spread), rtol=0)
