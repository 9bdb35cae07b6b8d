"""The GLAD graph: features to score and anomaly map."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.toolkit.methods.glad.head import GladHead, LayerMixture
from csflow.toolkit.methods.method import Shapes

__all__ = ["HalfDeviations", "glad_graph"]


def glad_graph(head: GladHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Standardising, squares, exponents, map and score stay in float32. There an exponent is at most 0, and the largest of
    a position's is 0, so that the sum lies in 1..K: no logarithm of 0, nothing that overflows. Squares of saturated
    deviations reach 65504² C, far below `NEVER`.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        module.mixtures = nn.ModuleList(HalfDeviations(mixture) for mixture in module.layers())
    return head_graph("glad", module, shapes, precision)


class HalfDeviations(LayerMixture):
    """A mixture whose deviations come from a matrix product in float16; strong anomalies saturate."""

    def __init__(self, mixture: LayerMixture) -> None:
        super().__init__(mixture.kept, *(1, 1, 1))
        for name, tensor in mixture.named_buffers():
            setattr(self, name, tensor)
        matrix, offset = mixture.get_buffer("matrix"), mixture.get_buffer("offset")
        weights = matrix.double().abs().flatten(1).sum(dim=1)
        self.narrow = Saturate(safe_bound(weights, offset.double().abs()))
        self.register_buffer("half_matrix", matrix.half())
        self.register_buffer("half_offset", offset.half())

    def deviations(self, z: Tensor) -> Tensor:
        """As `LayerMixture.deviations`, of saturated features."""
        matrix, offset = self.get_buffer("half_matrix"), self.get_buffer("half_offset")
        return functional.conv2d(self.narrow(z), matrix, offset).float()
