"""Convolutions of whole numbers: of eight bits, or of more where most of the error would be born."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csflow.toolkit.backbones.fold import set_convolution
from csflow.toolkit.backbones.int8.least_error import Inputs, whole_weights
from csflow.toolkit.backbones.int8.rounding import LEVELS, Rounding, ShiftedRounding, on_grid, round_weights

__all__ = ["RoundedConvolution", "RoundedStem", "WideConvolution", "wide_levels"]

PIXEL = 2.0**-7
"""Grid of the normalised pixels: about as fine as a grey level, and no grey level near a rounding's edge."""
WIDE_WEIGHTS = 1016
"""Levels of a weight that is wide: 27 products of a pixel below 2.7 and such a weight stay below 2^24 grid points."""


def wide_levels(conv: nn.Conv2d) -> int:
    """Levels of what may flow into a wide convolution, so that its sums stay below 2^24 grid points; at least 127."""
    return max(LEVELS, (1 << 24) // (WIDE_WEIGHTS * conv.weight[0].numel()))


class RoundedConvolution(nn.Module):
    """A convolution whose weights lie on a grid of eight bits, and what flows into it."""

    def __init__(self, conv: nn.Conv2d, rounding: Rounding | None = None) -> None:
        """`rounding`: of what comes in; None where it is rounded already."""
        super().__init__()
        self.rounding = rounding or nn.Identity()
        self.conv = conv
        self.register_buffer("weight_scale", torch.ones(conv.out_channels))
        self.seen: Inputs | None = None
        """Set while ranges are fitted."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) as the convolution does."""
        x = self.rounding(x)
        if self.seen is not None:
            self.seen.see(x)
        y: Tensor = self.conv(x)
        return y

    def fit(self, input_scale: Tensor, share: float = 1.0, finest: float = 0.0) -> None:
        """Put the weights on their grids, and the biases on those of the sums.

        Args:
            input_scale: a scalar tensor, of what flows in.
            share: what flows in will be so many times what was seen.
            finest: the least grid of the sums.
        """
        weight = self.conv.weight.detach() / share
        mean, covariance = (self.seen or Inputs(self.conv)).moments(weight)
        self.seen = None
        whole, scale, short = whole_weights(weight, mean * share, covariance, finest / float(input_scale))
        if isinstance(self.rounding, ShiftedRounding):
            short = short + whole.flatten(1).sum(dim=1) * self.rounding.get_buffer("shift")
        bias = short if self.conv.bias is None else self.conv.bias + short
        set_convolution(self.conv, whole, on_grid(bias, scale * input_scale))
        self.register_buffer("weight_scale", scale)


class WideConvolution(nn.Module):
    """A convolution whose weights have more than eight bits; so has what flows in, which is rounded before."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) as the convolution does."""
        y: Tensor = self.conv(x)
        return y

    def fit(self, input_scale: Tensor) -> None:
        """Put the weights on their grids, and the biases on those of the sums; `input_scale` is a scalar tensor."""
        weight, scale = round_weights(self.conv.weight.detach(), WIDE_WEIGHTS)
        set_convolution(self.conv, weight, on_grid(self.conv.bias, scale * input_scale))


class RoundedStem(WideConvolution):
    """The first convolution, which reads pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pixels (N, 3, S, S) as the convolution does."""
        return super().forward(torch.round(x * (1.0 / PIXEL)) * PIXEL)

    def fit(self, input_scale: Tensor = torch.tensor(PIXEL)) -> None:  # noqa: B008 - a constant
        """Put the weights on their grids."""
        super().fit(input_scale)
