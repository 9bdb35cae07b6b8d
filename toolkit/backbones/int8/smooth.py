"""Smooth activations and squeeze-and-excitation in eight bits, so that engines agree on every bit of them too.

SiLU and sigmoid end in digits that no two libraries share, and a rounding that follows turns the last digit into a
whole step now and then. So they are rounded before: what they get takes 256 values, what they give as many, and an
offset of a fraction of a step moves these away from the edges of the rounding that follows.
"""

from __future__ import annotations

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from csflow.toolkit.backbones.int8.convolutions import RoundedConvolution
from csflow.toolkit.backbones.int8.rounding import LEVELS, Rounding

__all__ = ["SMOOTH_LEVELS", "RoundedActivation", "RoundedSqueeze", "is_smooth"]

MARGIN = 1 / 128
"""Of a step: at least so far from an edge is far enough for any engine's SiLU, whose error is a thousandth of it."""
SMOOTH_LEVELS = 511
"""At most, of what flows into an activation and out of it: some of more lie near an edge, whatever the offset."""
WIDE_MARGIN = 1 / 1024
"""The same with more levels than eight bits have: eight times what any engine's SiLU is off by."""
OFFSETS = 32
"""Tried to either side, 1/128 of a step apart: up to a quarter of a step."""


def is_smooth(activation: nn.Module) -> bool:
    """Whether engines disagree on the last digits of an activation."""
    return not isinstance(activation, (nn.Identity, nn.ReLU, nn.ReLU6))


class RoundedActivation(nn.Module):
    """An activation between two roundings."""

    def __init__(self, activation: nn.Module, levels: int = LEVELS) -> None:
        """`levels`: of both roundings, at most `SMOOTH_LEVELS`."""
        super().__init__()
        self.levels = levels
        self.before = Rounding(levels)
        self.activation = activation
        self.after = Rounding(levels)
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same."""
        y: Tensor = self.after(self.activation(self.before(x)) + self.get_buffer("offset"))
        return y

    def fit(self) -> None:
        """Choose the offset; both ranges are known."""
        whole = torch.arange(-self.levels - 1, self.levels + 1, dtype=torch.float64)
        given = whole * self.before.get_buffer("scale").double()
        step = float(self.after.get_buffer("scale"))
        self.register_buffer("offset", torch.tensor(_offset(self.activation(given) / step, self.levels) * step))


class RoundedSqueeze(nn.Module):
    """Squeeze-and-excitation of a map that is rounded already."""

    def __init__(self, squeeze: SqueezeExcite) -> None:
        super().__init__()
        self.mean = Rounding()
        self.conv_reduce = RoundedConvolution(squeeze.conv_reduce)
        self.act1 = RoundedActivation(squeeze.act1)
        self.conv_expand = RoundedConvolution(squeeze.conv_expand)
        self.gate = RoundedActivation(squeeze.gate)
        self._share = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same."""
        positions = x.shape[2] * x.shape[3]
        # A whole power of two instead of the number of positions: no engine rounds it. The weights know the rest.
        power = 1 << (positions.bit_length() - 1)
        mean = self.mean(x.sum((2, 3), keepdim=True) * (1.0 / power))
        if self.mean.seen is not None:
            self._share = positions / power
            mean = mean / self._share
        y: Tensor = x * self.gate(self.conv_expand(self.act1(self.conv_reduce(mean))))
        return y

    def fit(self) -> None:
        """Put weights on their grids; all ranges are known."""
        self.conv_reduce.fit(self.mean.get_buffer("scale"), self._share)
        self.conv_expand.fit(self.act1.after.get_buffer("scale"))


def _offset(values: Tensor, levels: int) -> float:
    """What to add to values (N,), in steps, so that none lies near the edge of a rounding to ± `levels`."""
    margin = MARGIN if levels == LEVELS else WIDE_MARGIN
    tried = torch.arange(-OFFSETS, OFFSETS + 1, dtype=torch.float64) / 128
    moved = values + tried[:, None]
    distance = (moved - moved.floor() - 0.5).abs()
    # Beyond the range everything becomes the last level.
    distance[(moved > levels) | (moved < -levels - 1)] = 0.5
    nearest = distance.min(dim=1).values.clamp(max=margin)
    return float(tried[torch.argmax(nearest - tried.abs() * 1e-6)])
