"""The graphs of a combined judgement: each member's own, with names that tell them apart, and the one that joins."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from csflow.export.graphs.graph import Graph
from csflow.toolkit.methods.combined import JOINED, CombinedHead
from csflow.toolkit.methods.method import Shapes

__all__ = ["combined_graphs"]


def combined_graphs(
    head: CombinedHead,
    shapes: Shapes,
    precision: str,
    graphs: Mapping[str, Callable[[Any, Shapes, str], Graph]],
) -> tuple[Graph, ...]:
    """The graphs after the backbone, in running order; `head` is left as it is.

    The join computes in float32 in every precision: it multiplies a handful of numbers.

    Args:
        graphs: by the name of a method, what makes its head's graph.
    """
    made = []
    for member, part in zip(head.config.members, head.heads, strict=True):
        graph = graphs[member.method](part, tuple(shapes[i] for i in member.features), precision)
        inputs = tuple(f"features_{i}" for i in member.features)
        made.append(dataclasses.replace(graph, name=member.graph, inputs=inputs, outputs=_outputs(member.graph)))
    return *made, _join(head, made)


def _join(head: CombinedHead, members: list[Graph]) -> Graph:
    with torch.no_grad():
        example = tuple(tensor for graph in members for tensor in graph.module(*graph.example))
    inputs = tuple(name for graph in members for name in graph.outputs)
    return Graph(JOINED, copy.deepcopy(head.join), example, inputs, ("score", "anomaly_map"))


def _outputs(graph: str) -> tuple[str, str]:
    return f"{graph}_score", f"{graph}_map"
