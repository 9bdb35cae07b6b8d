"""A bias of its own for every convolution: OpenVINO joins a bias with its convolution only where no other reads it.

A backbone runs its convolutions once a scale, so the scales share their constants. A shared bias is added behind the
convolution instead (OpenVINO 2026.4.1, CPU), and what else would be joined, activations and roundings, stays behind
with it.
"""

from __future__ import annotations

from typing import Any

import onnx

__all__ = ["unshare_biases"]


def unshare_biases(model: Any) -> None:
    """Give each convolution of an ONNX model that shares its bias with others a copy of it, in place."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    read = set[str]()
    convolutions = [node for node in graph.node if node.op_type == "Conv" and len(node.input) > 2]
    for node in convolutions:
        shared = node.input[2]
        if shared in read and shared in stored:
            own = onnx.TensorProto()
            own.CopyFrom(stored[shared])
            own.name = f"{shared}.{node.output[0]}"
            graph.initializer.append(own)
            node.input[2] = own.name
        read.add(shared)
