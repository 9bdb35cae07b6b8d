"""The products of an ONNX graph (convolutions and matrix products): how much each multiplies, and in which type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from csflow.runtime.errors import ConfigError

__all__ = ["PRODUCTS", "Product", "graph_products"]

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SMALL = 4096
"""Elements up to which a tensor may hold sizes or axes and is kept for shape inference."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """One node that multiplies."""

    name: str
    operator: str
    type: str
    """Element type of what it multiplies, as ONNX names it: 'FLOAT16' where both factors are; the wider of two.
    'INT8' where both come out of a DequantizeLinear."""
    macs: int
    """Multiply-accumulates for one frame."""

    @property
    def is_half(self) -> bool:
        """Whether both factors are half precision, or INT8."""
        return self.type in ("FLOAT16", "INT8")


def graph_products(data: bytes, where: str) -> tuple[Product, ...]:
    """The products of an ONNX file at batch 1.

    Args:
        data: the file.
        where: named in errors.

    Raises ConfigError when it is no ONNX model, or a shape or type of a product cannot be inferred.
    """
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise ConfigError(f"{where} is no ONNX model, or cut off: run 'csflow export' again") from None
    if not model.ir_version or not model.graph.node:
        raise ConfigError(f"{where} is no ONNX model: it holds no graph; run 'csflow export' again")
    graph = _inferred(model, where)
    values = _values(graph)
    whole = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    return tuple(_product(node, values, whole, where) for node in products)


def _inferred(model: Any, where: str) -> Any:
    # Weights are emptied first, as inference copies the model; free batch dimensions become 1.
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > SMALL:
            for content in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
                tensor.ClearField(content)
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"the shapes of {where} cannot be inferred ({said}): run 'csflow export' again") from None


def _values(graph: Any) -> dict[str, tuple[int, Shape]]:
    """Element type and shape of every tensor whose shape is known."""
    found = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        if all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shape = tuple(int(dim.dim_value) for dim in tensor.shape.dim)
            found.setdefault(value.name, (tensor.elem_type, shape))
    return found


def _product(node: Any, values: dict[str, tuple[int, Shape]], whole: set[str], where: str) -> Product:
    try:
        (left_type, left), (right_type, right) = (values[name] for name in node.input[:2])
        _, result = values[node.output[0]]
        macs = _macs(node, left, right, result)
    except (KeyError, IndexError, ValueError):
        raise ConfigError(
            f"the shape of node {node.name!r} ({node.op_type}) of {where} cannot be inferred: run 'csflow export' again"
        ) from None
    names = {"INT8"} if whole.issuperset(node.input[:2]) else {_type_name(left_type), _type_name(right_type)}
    return Product(node.name, node.op_type, max(names, key=_width), macs)


def _macs(node: Any, left: Shape, right: Shape, result: Shape) -> int:
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(result) * left[0 if transposed else -1]


def _type_name(number: int) -> str:
    return str(onnx.TensorProto.DataType.Name(number))


def _width(name: str) -> int:
    order = ("INT8", "UINT8", "FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE")
    return order.index(name) if name in order else len(order)
