"""The PaDiM graph: one matrix product at every position."""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.padim import PaDiMHead

__all__ = ["HalfMatrices", "padim_graph"]


def padim_graph(head: PaDiMHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Standardising and squares stay in float32.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        module.matrices = HalfMatrices(module.matrices.get_buffer("matrix"))
    return head_graph("padim", module, shapes, precision)


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
        products: Tensor = self.get_buffer("half_matrix") @ self.narrow(z)
        return products.float() * self.unit
