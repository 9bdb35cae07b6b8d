"""The GLAD graph: features to score and anomaly map."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.export.graphs.triangles import edges
from csflow.toolkit.methods.glad.head import GladHead, LayerMixture
from csflow.toolkit.methods.method import Shapes

__all__ = ["HalfBlocks", "TriangularBlocks", "glad_graph"]


def glad_graph(head: GladHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head with matrix products of triangles, in float16 where the precision says so; `head` is left as it is.

    Standardising, squares, exponents, map and score stay in float32. There an exponent is at most 0, and the largest of
    a position's is 0, so that the sum lies in 1..K: no logarithm of 0, nothing that overflows. Squares of saturated
    deviations reach 65504² C, far below `NEVER`.
    """
    module = copy.deepcopy(head)
    blocks = HalfBlocks if precision == "fp16" else TriangularBlocks
    module.mixtures = nn.ModuleList(blocks(mixture) for mixture in module.layers())
    return head_graph("glad", module, shapes, precision)


class TriangularBlocks(LayerMixture):
    """A mixture as products of blocks of its triangles, positions first: sums of squares then run along the memory."""

    def __init__(self, mixture: LayerMixture) -> None:
        super().__init__(mixture.kept, 1, 1, 1)
        for name, tensor in mixture.named_buffers():
            setattr(self, name, tensor)
        channels = len(mixture.get_buffer("mean"))
        self.edges = edges(channels)
        matrix = mixture.get_buffer("matrix").reshape(self.kept, channels, channels)
        offset = mixture.get_buffer("offset").reshape(self.kept, channels)
        for i, (first, last) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            block = matrix[:, first:last, :last].flatten(0, 1)
            self.register_buffer(f"block_{i}", block.T.contiguous())
            self.register_buffer(f"offset_{i}", offset[:, first:last].flatten())
        del self.matrix, self.offset

    def squares(self, z: Tensor) -> Tensor:
        """As `LayerMixture.squares`."""
        flat = self.narrowed(z).flatten(2).transpose(1, 2)
        sums = []
        for i, last in enumerate(self.edges[1:]):
            deviations = flat[:, :, :last] @ self.get_buffer(f"block_{i}") + self.get_buffer(f"offset_{i}")
            squares = deviations.to(z.dtype).square().reshape(z.shape[0], -1, self.kept, last - self.edges[i])
            sums.append(squares.sum(dim=3))
        return functools.reduce(torch.add, sums).transpose(1, 2).reshape(z.shape[0], self.kept, *z.shape[2:])

    def narrowed(self, z: Tensor) -> Tensor:
        """What the products are of."""
        return z


class HalfBlocks(TriangularBlocks):
    """The products in float16; strong anomalies saturate."""

    def __init__(self, mixture: LayerMixture) -> None:
        weights = mixture.get_buffer("matrix").double().abs().flatten(1).sum(dim=1)
        bound = safe_bound(weights, mixture.get_buffer("offset").double().abs())
        super().__init__(mixture)
        self.narrow = Saturate(bound)
        for name, tensor in self.named_buffers():
            if name.startswith(("block_", "offset_")):
                setattr(self, name, tensor.half())

    def narrowed(self, z: Tensor) -> Tensor:
        """As float16, saturated."""
        half: Tensor = self.narrow(z)
        return half
