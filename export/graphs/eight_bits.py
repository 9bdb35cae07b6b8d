"""Eight bits in ONNX: roundings as QuantizeLinear and DequantizeLinear, weights of rounded convolutions as int8.

Scales are powers of two, zero points 0: OpenVINO, ONNX Runtime and TensorRT read the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import opset20
from torch import nn

from csflow.toolkit.backbones.int8.convolutions import RoundedConvolution

__all__ = ["TRANSLATION", "store_whole_weights"]


def _eight_bits(x: Any, scale: Any) -> Any:
    operators: Any = opset20
    zero = operators.Constant(value=onnx.helper.make_tensor("zero", onnx.TensorProto.INT8, [], [0]))
    return operators.DequantizeLinear(operators.QuantizeLinear(x, scale, zero), scale, zero)


TRANSLATION: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.csflow.eight_bits.default: _eight_bits}
"""For torch's exporter."""


def store_whole_weights(model: Any, module: nn.Module) -> None:
    """Put int8 and a scale for each output in place of the float weights of every rounded convolution, in place.

    Args:
        model: the ONNX model that was exported from `module`, initialisers named as its parameters.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for name, convolution in module.named_modules():
        if isinstance(convolution, RoundedConvolution):
            weight = f"{name}.conv.weight"
            scale = convolution.get_buffer("weight_scale").float().numpy()
            values = onnx.numpy_helper.to_array(stored[weight])
            whole = np.round(values / scale[:, None, None, None]).astype(np.int8)
            graph.initializer.remove(stored[weight])
            parts = {"whole": whole, "scale": scale, "zero": np.zeros(scale.size, np.int8)}
            graph.initializer.extend(onnx.numpy_helper.from_array(v, f"{weight}.{k}") for k, v in parts.items())
            inputs = [f"{weight}.{part}" for part in parts]
            graph.node.insert(
                0, onnx.helper.make_node("DequantizeLinear", inputs, [weight], axis=0, name=f"{name}.whole")
            )
