"""Half precision that stays finite: clamping before the cast, and the bound that keeps a sum of products in range."""

from __future__ import annotations

import math

from torch import Tensor, nn

__all__ = ["HALF_MAX", "SUM_LIMIT", "HalfMatrices", "Saturate", "safe_bound"]

HALF_MAX = 65504.0
"""The largest float16."""
SUM_LIMIT = 60000.0
"""What a sum of products may reach: rounding its terms and partial sums upwards still stays below `HALF_MAX`."""


class Saturate(nn.Module):
    """Clamp to ± `bound`, then cast to float16."""

    def __init__(self, bound: float = HALF_MAX) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to float16."""
        return x.clamp(-self.bound, self.bound).half()


def safe_bound(weights: Tensor, biases: Tensor | float = 0.0) -> float:
    """The largest |input| for which no sum of products leaves float16, in whatever order it is accumulated.

    Args:
        weights: sum of |weight| of each output.
        biases: |bias| of each output.
    """
    room = (SUM_LIMIT - biases) / weights
    return float(room.clamp(0.0, HALF_MAX).min())


class HalfMatrices(nn.Module):
    """Products at each position in float16; strong anomalies saturate and never become infinite."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        # A power of two, so exact: rows sum to at most 1, and what saturates lies beyond 10⁴ deviations.
        self.unit = 2.0 ** math.ceil(math.log2(float(matrix.abs().sum(dim=2).max().clamp(min=1.0))))
        small = matrix / self.unit
        self.narrow = Saturate(safe_bound(small.abs().sum(dim=2)))
        self.register_buffer("half_matrix", small.half())

    def forward(self, z: Tensor) -> Tensor:
        """Map (P, D, N) float32 to the same."""
        return self.product(self.narrow(z)).float() * self.unit

    def product(self, z: Tensor) -> Tensor:
        """Of float16 vectors (P, D, N)."""
        return self.get_buffer("half_matrix") @ z
