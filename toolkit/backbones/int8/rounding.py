"""Rounding to eight bits with scales that are powers of two: whole-number arithmetic that every engine gets alike.

A value x becomes s · clamp(round(x / s), -128, 127), halves to even: what QuantizeLinear and DequantizeLinear of ONNX
do with zero point 0. With s a power of two for what flows and for each output channel of the weights, products, sums
and biases are whole multiples of a power of two below 2^24 of them, which float32 holds exactly. So the order of a
sum, and whether it is computed in int32 or in float32, changes nothing, and no value lies now on this, now on that
side of a rounding's edge.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = [
    "LEVELS",
    "Range",
    "Rounding",
    "ShiftedRounding",
    "eight_bits",
    "on_grid",
    "power_of_two",
    "round_weights",
    "widest_power",
]

LEVELS = 127
"""Largest whole number of a weight, and of the side that ranges are fitted to."""
BINS = 2048
HALVINGS = 3
"""How many powers of two below the one that holds the largest magnitude are tried."""
TINY = 2.0**-40


@torch.library.custom_op("csflow::eight_bits", mutates_args=())
def eight_bits(x: Tensor, scale: Tensor) -> Tensor:
    """Round x (any shape) to 8 bits with one scale, a scalar tensor > 0 of the same type."""
    return torch.round(x / scale).clamp_(-LEVELS - 1, LEVELS).mul_(scale)


@eight_bits.register_fake
def _(x: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG001 - the signature of the operator
    return torch.empty_like(x)


class Range:
    """Magnitudes that a tensor was seen to have, as a histogram."""

    def __init__(self) -> None:
        self.least = 0.0
        """The lowest value, or 0."""
        self.top = 0.0
        """The largest magnitude is below it."""
        self._counts = torch.zeros(BINS, dtype=torch.float64)

    def see(self, x: Tensor) -> None:
        """Count the magnitudes of x; bins become wider where x exceeds them."""
        self.least = min(self.least, float(x.min()))
        magnitudes = x.detach().abs().flatten().float()
        top = float(magnitudes.max())
        self.top = self.top or top
        while top > self.top:
            self._counts = torch.cat([self._counts.reshape(-1, 2).sum(dim=1), self._counts.new_zeros(BINS // 2)])
            self.top *= 2.0
        if self.top > 0.0:
            self._counts += torch.histc(magnitudes, BINS, 0.0, self.top).double()

    def scale(self, levels: int = LEVELS) -> float:
        """The power of two whose rounding to ± `levels` has the least squared error."""
        values = (torch.arange(BINS, dtype=torch.float64) + 0.5) * (self.top / BINS)
        return power_of_two(values, self._counts, self.top, levels)


class Rounding(nn.Module):
    """Rounds what flows through it; while ranges are fitted, it counts and rounds nothing."""

    def __init__(self, levels: int = LEVELS) -> None:
        """`levels`: largest whole number; other than `LEVELS`, it is no eight bits."""
        super().__init__()
        self.levels = levels
        self.register_buffer("scale", torch.ones(()))
        self.seen: Range | None = None
        """Set while ranges are fitted."""

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same."""
        if self.seen is not None:
            self.seen.see(x)
            return x
        scale = self.get_buffer("scale")
        if self.levels != LEVELS:
            return torch.round(x / scale).clamp(-self.levels - 1, self.levels) * scale
        rounded: Tensor = torch.ops.csflow.eight_bits(x, scale)
        return rounded

    def fit(self) -> None:
        """Take the scale from what was seen, if anything was."""
        if self.seen is not None:
            self.register_buffer("scale", torch.tensor(self.seen.scale(self.levels)))
        self.seen = None


class ShiftedRounding(Rounding):
    """Rounds to eight bits; what is never negative twice as finely: less `shift` it has both signs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same, less `shift`."""
        return super().forward(x if self.seen is not None else x - self.get_buffer("shift"))

    def fit(self) -> None:
        """Take scale and shift from what was seen, if anything was."""
        if self.seen is not None and self.seen.least >= 0.0:
            scale = torch.tensor(self.seen.scale(2 * LEVELS + 1))
            self.register_buffer("scale", scale)
            self.register_buffer("shift", scale * (LEVELS + 1))
            self.seen = None
        super().fit()


def round_weights(weight: Tensor, levels: int = LEVELS) -> tuple[Tensor, Tensor]:
    """A convolution's weight (outputs, ...) in whole multiples, ± `levels`, of a power of two for each output.

    Returns the weight, and these powers (outputs,), each the one of the least squared error.
    """
    rows = weight.double().abs().flatten(1)
    powers = [power_of_two(row, torch.ones_like(row), float(row.max()), levels) for row in rows]
    scale = torch.tensor(powers, dtype=weight.dtype)
    shaped = scale.reshape(-1, *[1] * (weight.dim() - 1))
    return torch.round(weight / shaped).clamp(-levels, levels) * shaped, scale


def power_of_two(magnitudes: Tensor, counts: Tensor, top: float, levels: int = LEVELS) -> float:
    """The power of two s for which s · min(round(x / s), levels) has the least squared error.

    Args:
        magnitudes: float64, with how often each was seen in `counts`.
        top: the largest of them.
    """
    tried = [widest_power(top, levels) / (1 << i) for i in range(HALVINGS + 1)]

    def error(scale: float) -> float:
        rounded = torch.round(magnitudes / scale).clamp(max=levels) * scale
        return float((counts * (rounded - magnitudes).square()).sum())

    return min(tried, key=error)


def widest_power(top: float, levels: int) -> float:
    """The least power of two of which `levels` reach the magnitude `top`."""
    return 2.0 ** math.ceil(math.log2(max(top, TINY) / levels))


def on_grid(bias: Tensor | None, grid: Tensor) -> Tensor | None:
    """A bias, where there is one, in whole multiples of a grid of the same shape, or of one for all."""
    return None if bias is None else torch.round(bias / grid) * grid
