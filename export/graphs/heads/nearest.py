"""The graph of nearest neighbours: pooled and single features to score and anomaly map."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.export.graphs.heads.mahalanobis import halve_whitenings
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.nearest import Bank, NearestHead, nearest_square

__all__ = ["HalfBank", "nearest_graph"]


def nearest_graph(head: NearestHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Pooling, standardising and squares stay in float32, as in the graph of Mahalanobis' method.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        assert isinstance(module.bank, Bank)
        module.bank = HalfBank(module.bank)
        halve_whitenings(module)
    return head_graph("nearest", module, shapes, precision)


class HalfBank(nn.Module):
    """A bank whose products run in float16: their factor saturates, the squared length beside them does not."""

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        self.bank = bank
        vectors = bank.get_buffer("vectors").half()
        self.narrow = Saturate(safe_bound(vectors.double().abs().sum(dim=0)))
        self.register_buffer("half_vectors", vectors)
        # Distances are to the rounded vectors, so that none becomes negative by their rounding.
        bank.register_buffer("vectors", vectors.float())

    def forward(self, x: Tensor) -> Tensor:
        """Map pooled vectors (N, D) float32 to squared distances (N,) float32."""
        z = self.bank.standardised(x)
        products = (self.narrow(z) @ self.get_buffer("half_vectors")).float()
        return nearest_square(z, products, self.bank.get_buffer("vectors"))
