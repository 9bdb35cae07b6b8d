"""The PaDiM graph: the product with a triangle at every position."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import HalfMatrices
from csflow.export.graphs.triangles import edges
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.padim import PaDiMHead

__all__ = ["HalfTriangles", "TriangularMatrices", "padim_graph"]


def padim_graph(head: PaDiMHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head with products of triangles, in float16 where the precision says so; `head` is left as it is.

    Standardising and squares stay in float32.
    """
    module = copy.deepcopy(head)
    matrix = head.matrices.get_buffer("matrix")
    module.matrices = HalfTriangles(matrix) if precision == "fp16" else TriangularMatrices(matrix)
    return head_graph("padim", module, shapes, precision)


class TriangularMatrices(nn.Module):
    """Products with the triangle of each position, in blocks: a frame reads all matrices, and reads so much less."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.edges = edges(matrix.shape[1])
        for i, (first, last) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            self.register_buffer(f"block_{i}", matrix[:, first:last, :last].contiguous())

    def forward(self, z: Tensor) -> Tensor:
        """Map (P, D, N) to the same."""
        blocks = [self.get_buffer(f"block_{i}") @ z[:, :last] for i, last in enumerate(self.edges[1:])]
        return torch.cat(blocks, dim=1)


class HalfTriangles(HalfMatrices):
    """The same in float16."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(matrix)
        self.triangles = TriangularMatrices(self.get_buffer("half_matrix"))
        del self.half_matrix

    def product(self, z: Tensor) -> Tensor:
        """Of float16 vectors."""
        product: Tensor = self.triangles(z)
        return product
