"""Graphs that can be told apart: names of their own inside, and a signature that says whose they are.

Graphs of a bundle are joined by the names of their inputs and outputs. Every other name begins with the graph's, so
that `onnx.compose.merge_models` and its kind make one graph of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import onnx

__all__ = ["sign", "signed"]


def sign(model: Any, graph: str, facts: Mapping[str, str]) -> None:
    """Rename what lies inside an `onnx.ModelProto`, and let it say whose it is, in place; twice is as once.

    What the exporter noted at every node, source lines with the paths of this machine among it, is removed.

    Args:
        graph: its name, which inner names take as 'backbone/...'.
        facts: for `metadata_props`, as 'csflow.<graph>.<key>': the same key with another value in two graphs would
            keep them from being merged.
    """
    _prefix(model.graph, f"{graph}/")
    for noted in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del noted.metadata_props[:]
    model.graph.name = graph
    model.producer_name, model.producer_version = "csflow", version("csflow")
    model.doc_string = f"The {graph} graph of a csflow bundle. " + "; ".join(f"{k}: {v}" for k, v in facts.items())
    onnx.helper.set_model_props(model, {f"csflow.{graph}.{key}": value for key, value in facts.items()})


def signed(data: bytes, graph: str, facts: Mapping[str, str]) -> bytes:
    """The ONNX file `data`, with `sign`."""
    model = onnx.load_model_from_string(data)
    sign(model, graph, facts)
    made: bytes = model.SerializeToString()
    return made


def _prefix(graph: Any, prefix: str) -> None:
    joined = {port.name for port in (*graph.input, *graph.output)} | {""}

    def named(name: str) -> str:
        return name if name in joined or name.startswith(prefix) else prefix + name

    for node in graph.node:
        node.name = named(node.name)
        node.input[:] = map(named, node.input)
        node.output[:] = map(named, node.output)
    for value in (*graph.initializer, *graph.value_info):
        value.name = named(value.name)
