"""The PaDiM graph: one matrix product at every position."""

from __future__ import annotations

import copy

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.half import HalfMatrices
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.padim import PaDiMHead

__all__ = ["padim_graph"]


def padim_graph(head: PaDiMHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The head as it is, with its matrix products in float16 where the precision says so; `head` is left as it is.

    Standardising and squares stay in float32.
    """
    module = copy.deepcopy(head)
    if precision == "fp16":
        module.matrices = HalfMatrices(module.matrices.get_buffer("matrix"))
    return head_graph("padim", module, shapes, precision)
