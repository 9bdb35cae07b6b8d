"""QuantizeLinear and DequantizeLinear put into a graph: what OpenVINO, ONNX Runtime and TensorRT read alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from csflow.export.graphs.int8.graph_view import GraphView
from csflow.export.graphs.int8.ranges import LEVELS, row_scales

__all__ = ["lowered", "rounded"]

SCORE = "score"
LEAST_SHARE = 0.5
"""Of a score that stays, whatever is taken off it: scores are positive."""


def rounded(model: onnx.ModelProto, scales: Mapping[str, float], wide: Collection[str] = ()) -> onnx.ModelProto:
    """A copy with the dense convolutions in INT8.

    Args:
        scales: of what flows into them, by tensor.
        wide: tensors whose convolutions stay in float32.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    view = GraphView(made)
    dense = {node.name for node in view.dense() if node.input[0] not in wide}
    nodes: list[onnx.NodeProto] = []
    for tensor in dict.fromkeys(node.input[0] for node in view.dense() if node.name in dense):
        made.graph.initializer.append(from_array(np.array(scales[tensor], np.float32), f"{tensor}/scale"))
        made.graph.initializer.append(from_array(np.zeros((), np.int8), f"{tensor}/zero"))
    begun: set[str] = set()
    for node in made.graph.node:
        if node.name in dense:
            nodes += _eight_bits(node.input[0]) if node.input[0] not in begun else []
            begun.add(node.input[0])
            nodes.append(_whole_weight(view, node.input[1]))
            node.input[0] = f"{node.input[0]}/rounded"
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(copies)
    return made


def lowered(model: onnx.ModelProto, shift: float) -> None:
    """Take `shift` off the score, in place: what rounding adds to z² on average. At least half of a score stays.

    Both are increasing in the score, and so is the larger of them: no order changes.
    """
    graph = model.graph
    for node in graph.node:
        node.output[:] = [f"{SCORE}/rounded" if name == SCORE else name for name in node.output]
        node.input[:] = [f"{SCORE}/rounded" if name == SCORE else name for name in node.input]
    for name, value in (("shift", shift), ("share", LEAST_SHARE)):
        graph.initializer.append(from_array(np.array(value, np.float32), f"{SCORE}/{name}"))
    graph.node.extend(
        [
            make_node("Sub", [f"{SCORE}/rounded", f"{SCORE}/shift"], [f"{SCORE}/less"], f"{SCORE}/Sub"),
            make_node("Mul", [f"{SCORE}/rounded", f"{SCORE}/share"], [f"{SCORE}/least"], f"{SCORE}/Mul"),
            make_node("Max", [f"{SCORE}/less", f"{SCORE}/least"], [SCORE], f"{SCORE}/Max"),
        ]
    )


def _eight_bits(tensor: str) -> list[onnx.NodeProto]:
    scale = [f"{tensor}/scale", f"{tensor}/zero"]
    whole, back = f"{tensor}/whole", f"{tensor}/rounded"
    return [
        make_node("QuantizeLinear", [tensor, *scale], [whole], f"{tensor}/Quantize"),
        make_node("DequantizeLinear", [whole, *scale], [back], f"{tensor}/Dequantize"),
    ]


def _whole_weight(view: GraphView, name: str) -> onnx.NodeProto:
    """Puts int8 in place of a weight, and gives the node that makes it of them."""
    values, graph = view.values(name), view.model.graph
    scale = row_scales(values)
    whole = np.round(values / scale[:, None, None, None]).clip(-LEVELS, LEVELS).astype(np.int8)
    (kept,) = (i for i, tensor in enumerate(graph.initializer) if tensor.name == name)
    del graph.initializer[kept]
    parts: dict[str, NDArray[Any]] = {"whole": whole, "scale": scale, "zero": np.zeros(scale.size, np.int8)}
    graph.initializer.extend(from_array(part, f"{name}/{key}") for key, part in parts.items())
    return make_node("DequantizeLinear", [f"{name}/{key}" for key in parts], [name], f"{name}/Dequantize", axis=0)
