"""The Mahalanobis graph: pooled and single features to score and anomaly map."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import Saturate, safe_bound
from csflow.toolkit.methods.gaussian import Whitening
from csflow.toolkit.methods.mahalanobis import MahalanobisHead
from csflow.toolkit.methods.method import Shapes

__all__ = ["HalfWhitening", "halve_whitenings", "mahalanobis_graph"]


def mahalanobis_graph(head: MahalanobisHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Pooling, standardising and squares stay in float32: sums over thousands of positions and squares of anomalies leave
    the range of float16.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        halve_whitenings(module)
    return head_graph("mahalanobis", module, shapes, precision)


def halve_whitenings(module: nn.Module) -> None:
    """Put a `HalfWhitening` in place of every whitening inside `module`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Whitening):
                setattr(parent, name, HalfWhitening(child))


class HalfWhitening(nn.Module):
    """A whitening whose matrix product runs in float16; strong anomalies saturate and never become infinite."""

    def __init__(self, whitening: Whitening) -> None:
        super().__init__()
        self.whitening = whitening
        matrix = whitening.get_buffer("matrix")
        self.narrow = Saturate(safe_bound(matrix.double().abs().flatten(1).sum(dim=1)))
        self.register_buffer("half_matrix", matrix.half())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) float32 to the same."""
        return functional.conv2d(self.narrow(self.whitening.standardised(x)), self.get_buffer("half_matrix")).float()
