"""Whole weights of the least error in what a convolution gives, instead of in the weights themselves.

With d the error of a row of weights and H the covariance of what flows in, a convolution's output is off by a variance
d'Hd, and on average by d · mean, which the bias takes. The nearest whole numbers have the least |d|, not the least
d'Hd: coordinates are moved in turn, each to its best whole number while the others stay, until none moves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from csflow.toolkit.backbones.int8.rounding import HALVINGS, LEVELS, widest_power

__all__ = ["Inputs", "whole_weights"]

POSITIONS = 1024
"""Of a map that are looked at, at most, evenly over it."""
SWEEPS = 8
BLOCK = 64
RIDGE = 1e-3
"""Share of the mean variance that is added to each: nobody sees an input that never varied in a few pictures alone."""


class Inputs:
    """Mean and covariance of what a convolution multiplies its weights with, borders aside."""

    def __init__(self, conv: nn.Conv2d) -> None:
        """`conv`: dense or depthwise; of others nothing is seen."""
        self._kernel, self._stride = conv.kernel_size, conv.stride
        self._depthwise = conv.groups > 1
        self._sees = conv.groups in (1, conv.in_channels)
        self._count = 0
        self._sum: Tensor | float = 0.0
        self._products: Tensor | float = 0.0

    def see(self, x: Tensor) -> None:
        """Add a map (N, C, h, w)."""
        (height, width), (down, right) = self._kernel, self._stride
        if not self._sees or x.shape[2] < height or x.shape[3] < width:
            return
        windows = x.unfold(2, height, down).unfold(3, width, right)
        step = max(1, math.ceil(math.sqrt(windows.shape[2] * windows.shape[3] / POSITIONS)))
        taken = windows[:, :, ::step, ::step].permute(1, 4, 5, 0, 2, 3).flatten(3).flatten(1, 2)
        values = taken if self._depthwise else taken.flatten(0, 1)[None]
        self._count += values.shape[2]
        self._sum = self._sum + values.double().sum(dim=2)
        self._products = self._products + (values @ values.mT).double()

    def moments(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (rows or 1, n) and covariance (rows or 1, n, n), for a weight (rows, ...) of n numbers a row."""
        n = weight[0].numel()
        if not (torch.is_tensor(self._sum) and torch.is_tensor(self._products)):
            return torch.zeros(1, n, dtype=torch.float64), torch.eye(n, dtype=torch.float64)[None]
        mean = self._sum / self._count
        covariance = self._products / self._count - mean[:, :, None] * mean[:, None, :]
        variance = torch.diagonal(covariance, dim1=1, dim2=2).clamp(min=0.0)
        least = RIDGE * variance.mean(dim=1, keepdim=True).expand_as(variance) + torch.finfo(torch.float32).tiny
        repeated = weight.shape[0] // len(mean) if self._depthwise else 1
        found = covariance + torch.diag_embed(least)
        return mean.repeat_interleave(repeated, 0), found.repeat_interleave(repeated, 0)


def whole_weights(
    weight: Tensor, mean: Tensor, covariance: Tensor, finest: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution's weight (rows, ...) in whole multiples, ± `LEVELS`, of a power of two for each row.

    Args:
        mean: (rows or 1, n) float64, with the covariance (rows or 1, n, n) of what the n numbers of a row multiply.
        finest: the least of the powers.

    Returns the weight, the powers (rows,), each the one of the least error, and what the rows give too little on
    average, (rows,): it belongs into the bias.
    """
    rows = weight.detach().double().flatten(1)
    tops = [max(widest_power(float(row.abs().max()), LEVELS), finest) for row in rows]
    widest = torch.tensor(tops, dtype=torch.float64)
    found, scale, least = rows, widest, torch.full_like(widest, torch.inf)
    for halved in range(HALVINGS + 1):
        tried = (widest / (1 << halved)).clamp(min=finest)
        whole, error = _descend(rows / tried[:, None], covariance)
        better = error * tried.square() < least
        least = torch.where(better, error * tried.square(), least)
        found = torch.where(better[:, None], whole * tried[:, None], found)
        scale = torch.where(better, tried, scale)
    short = ((rows - found) * mean).sum(dim=1)
    return found.reshape(weight.shape).to(weight.dtype), scale.to(weight.dtype), short.to(weight.dtype)


def _descend(rows: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers near `rows` (R, n), and the variance (R,) that they are off by."""
    whole = torch.round(rows).clamp(-LEVELS, LEVELS)
    slope = _times(rows - whole, covariance)
    for _ in range(SWEEPS):
        before = whole.clone()
        for start in range(0, rows.shape[1], BLOCK):
            _descend_block(whole, slope, covariance, slice(start, start + BLOCK))
        if torch.equal(before, whole):
            break
    return whole, ((rows - whole) * slope).sum(dim=1)


def _descend_block(whole: Tensor, slope: Tensor, covariance: Tensor, columns: slice) -> None:
    """Move the coordinates of some columns in turn; `whole` and `slope` = (rows - whole) · covariance in place."""
    own, local = covariance[:, columns, columns], slope[:, columns].clone()
    begun = whole[:, columns].clone()
    for j in range(own.shape[1]):
        column = whole[:, columns.start + j]
        moved = (column + torch.round(local[:, j] / own[:, j, j])).clamp(-LEVELS, LEVELS)
        local -= (moved - column)[:, None] * own[:, j]
        whole[:, columns.start + j] = moved
    slope -= _times(whole[:, columns] - begun, covariance[:, columns])


def _times(rows: Tensor, covariance: Tensor) -> Tensor:
    return rows @ covariance[0] if len(covariance) == 1 else (rows[:, None] @ covariance)[:, 0]
