"""The graph of multi-scale patches: distances to banks, spread over the picture."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.patches.head import PatchBank, PatchesHead, nearest_squares

__all__ = ["HalfPatchBank", "patches_graph"]


def patches_graph(head: PatchesHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Squared lengths, the minimum, roots and sums over patches stay in float32: a distance is a small difference.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        module.banks = nn.ModuleList(HalfPatchBank(bank) for bank in module.patch_banks())
    return head_graph("patches", module, shapes, precision)


class HalfPatchBank(nn.Module):
    """A bank whose products run in float16: strong anomalies saturate there, their squared length does not."""

    def __init__(self, bank: PatchBank) -> None:
        super().__init__()
        matrix, vectors = bank.get_buffer("matrix"), bank.get_buffer("vectors").half()
        self.register_buffer("mean", bank.get_buffer("mean"))
        self.narrow_features = Saturate(safe_bound(matrix.double().abs().flatten(1).sum(dim=1)))
        self.register_buffer("half_matrix", matrix.half())
        self.narrow = Saturate(safe_bound(vectors.double().abs().sum(dim=0)))
        self.register_buffer("half_vectors", vectors)
        # Distances are to the rounded vectors, so that none becomes negative by their rounding.
        self.register_buffer("vectors", vectors.float())

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, g, g) to distances (N, 1, g, g), float32."""
        z = functional.conv2d(self.narrow_features(x - self.get_buffer("mean")), self.get_buffer("half_matrix"))
        flat = z.permute(0, 2, 3, 1).flatten(0, 2).float()
        products = self.narrow(flat) @ self.get_buffer("half_vectors")
        squares = nearest_squares(flat, products.float(), self.get_buffer("vectors"))
        return squares.sqrt().reshape(-1, 1, *x.shape[2:])
