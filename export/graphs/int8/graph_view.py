"""An ONNX graph by what quantizing asks of it: dense convolutions, their weights, and who reads a tensor."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from numpy.typing import NDArray

__all__ = ["MIN_CHANNELS", "GraphView"]

MIN_CHANNELS = 16
"""A convolution with fewer channels, or with groups, gains nothing from INT8 (TensorRT's own rule)."""


class GraphView:
    """Reads a model, and changes the values of its weights in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name].append(node)

    def dense(self) -> list[onnx.NodeProto]:
        """The convolutions worth INT8, in running order."""
        return [node for node in self.model.graph.node if node.op_type == "Conv" and self._is_dense(node)]

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that a tensor flows into."""
        return self._readers[tensor]

    def values(self, name: str) -> NDArray[np.float32]:
        """A weight, for a convolution (outputs, inputs, height, width)."""
        found: NDArray[np.float32] = onnx.numpy_helper.to_array(self._weights[name])
        return found

    def put(self, name: str, values: NDArray[np.floating]) -> None:
        """Other values for a weight."""
        self._weights[name].CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), name))

    def _is_dense(self, node: onnx.NodeProto) -> bool:
        groups = next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "group"), 1)
        weight = self._weights.get(node.input[1])
        return groups == 1 and weight is not None and min(weight.dims[:2]) >= MIN_CHANNELS
