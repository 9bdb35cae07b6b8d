"""Half precision that stays finite: clamping before the cast, and the bound that keeps a sum of products in range."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["HALF_MAX", "SUM_LIMIT", "Saturate", "safe_bound"]

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
