"""Maps whose positions are in units of their own spread: where good parts differ much, much is no anomaly.

With mean m_p and standard deviation s_p of the map at position p over good parts, and s² the mean of s_p² over all, a
value x there becomes s ((x - m_p) / s_p + max_q m_q / s_q): never negative where x is not, in the unit that x had. Few
parts say little of the spread of a position, so that s_p² is taken together with s², as if `PRIOR` more parts had it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PRIOR", "PlaceSpread"]

PRIOR = 10
"""Parts: no position is then enlarged more than √(1 + N / PRIOR) times by N parts, be it still in all of them."""
STILL = 1e-12


class PlaceSpread(nn.Module):
    """A factor and a shift for every position of a map (N, h, w)."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(height, width))
        self.register_buffer("shift", torch.zeros(height, width))

    def set(self, mean: Tensor, variance: Tensor, pictures: int, counted: Tensor) -> None:
        """Take the moments of good parts; as it is where none of them differs from another.

        Args:
            mean: (h, w), of the map over good parts, at least 0.
            variance: (h, w), likewise.
            pictures: how many parts they are of.
            counted: (h, w), 1 where a position counts; others stay as they are.
        """
        inside = counted.bool()
        typical = variance[inside].double().mean()
        if float(typical) <= STILL:
            return
        deviation = ((pictures * variance.double() + PRIOR * typical) / (pictures + PRIOR)).sqrt()
        ratio = mean.double() / deviation
        unit = typical.sqrt()
        factor, shift = unit / deviation, unit * (ratio[inside].max() - ratio)
        self.get_buffer("factor").copy_(torch.where(inside, factor, torch.ones_like(factor)))
        self.get_buffer("shift").copy_(torch.where(inside, shift, torch.zeros_like(shift)))

    def forward(self, anomaly_map: Tensor) -> Tensor:
        """Map (N, h, w) to the same."""
        return anomaly_map * self.get_buffer("factor") + self.get_buffer("shift")
