"""What an ONNX graph holds: ports, operators, precisions, parameters, and multiply-accumulates at batch 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from csflow.export.facts.plan_facts import size_text
from csflow.runtime.errors import ConfigError

__all__ = ["GraphFacts", "Port", "graph_facts", "graph_lines"]

CONVOLUTIONS = ("Conv", "ConvTranspose")
NOT_PARAMETERS = ("INT64", "BOOL")
SMALL = 4096
"""Elements up to which a tensor may steer shapes (sizes, pads, axes) and is kept for shape inference."""


@dataclass(frozen=True)
class Port:
    """An input or output."""

    name: str
    type: str
    """Element type as ONNX names it, for example 'FLOAT16'."""
    shape: tuple[int | str, ...]
    """Sizes; free ones by name, '?' where they have none."""


@dataclass(frozen=True)
class GraphFacts:
    """An ONNX file."""

    path: str
    size: int
    """Bytes."""
    producer: str
    says: dict[str, str]
    """Its metadata: what it says about itself."""
    ir_version: int
    opsets: dict[str, int]
    """Version by domain; 'ai.onnx' is ONNX itself."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    """Nodes by type, the most frequent first, those of subgraphs included."""
    weights: dict[str, int]
    """Elements of stored tensors by element type."""
    parameters: int
    """The same in one number, without INT64 and BOOL, which hold sizes and indices."""
    convolutions: dict[str, int]
    """Convolutions by the type they compute in; a quantized one has the type before its DequantizeLinear."""
    macs: int | None
    """Multiply-accumulates of all convolutions for one frame; None where a shape cannot be inferred."""
    external: tuple[str, ...]
    """Files beside this one that hold weights; they are not read."""


def graph_facts(path: Path) -> GraphFacts:
    """Read an ONNX file; weights in other files are named, not read. Raises ConfigError when it is no ONNX model."""
    model = _load(path)
    graph = model.graph
    weights = _weights(graph)
    external = sorted({_text(e.value) for t in graph.initializer for e in t.external_data if e.key == "location"})
    inputs = tuple(_port(value) for value in _true_inputs(graph))
    values = _Values(_inferred(model))
    return GraphFacts(
        path=str(path),
        size=path.stat().st_size,
        producer=f"{_text(model.producer_name)} {_text(model.producer_version)}".strip(),
        says={_text(entry.key): _text(entry.value) for entry in model.metadata_props},
        ir_version=model.ir_version,
        opsets={_text(o.domain) or "ai.onnx": o.version for o in model.opset_import},
        inputs=inputs,
        outputs=tuple(_port(value) for value in graph.output),
        operators=dict(Counter(_text(node.op_type) for node in _nodes(graph)).most_common()),
        weights=dict(weights.most_common()),
        parameters=weights.total() - sum(weights[kind] for kind in NOT_PARAMETERS),
        convolutions=dict(Counter(values.precision(node) for node in values.convolutions()).most_common()),
        macs=values.macs() if all(n.op_type not in CONVOLUTIONS for n in _inner_nodes(graph)) else None,
        external=tuple(external),
    )


def _load(path: Path) -> Any:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError:
        raise ConfigError(f"{path} is no ONNX model, or cut off: export it again") from None
    # Protocol buffers take many foreign bytes for an empty message.
    if not model.ir_version or not model.graph.node:
        raise ConfigError(f"{path} is no ONNX model: it holds no graph; export it again")
    model = _inlined(model, path)
    if any(n.op_type in CONVOLUTIONS and (len(n.input) < 2 or not n.output) for n in model.graph.node):
        raise ConfigError(f"{path} is damaged: it holds a convolution without input or output; export it again")
    return model


def _inlined(model: Any, path: Path) -> Any:
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: its functions cannot be expanded ({error}); export it again") from None


def _text(value: str | bytes) -> str:
    # Protocol buffers hand text that is no UTF-8 over as bytes.
    return value if isinstance(value, str) else value.decode(errors="replace")


def _true_inputs(graph: Any) -> Iterator[Any]:
    stored = {tensor.name for tensor in graph.initializer}
    return (value for value in graph.input if value.name not in stored)


def _inner_graphs(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.g,) if attribute.HasField("g") else attribute.graphs


def _inner_nodes(graph: Any) -> Iterator[Any]:
    for inner in _inner_graphs(graph):
        yield from _nodes(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    yield from _inner_nodes(graph)


def _weights(graph: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for tensor in graph.initializer:
        counts[_type_name(tensor.data_type)] += math.prod(tensor.dims)
    for inner in _inner_graphs(graph):
        counts += _weights(inner)
    return counts


def _type_name(number: int) -> str:
    known = {v: k for k, v in onnx.TensorProto.DataType.items()}
    return str(known.get(number, f"type {number}"))


def _port(value: Any) -> Port:
    tensor = value.type.tensor_type
    return Port(_text(value.name), _type_name(tensor.elem_type), tuple(_size(d) for d in tensor.shape.dim))


def _size(dim: Any) -> int | str:
    return int(dim.dim_value) if dim.HasField("dim_value") else _text(dim.dim_param) or "?"


def _inferred(model: Any) -> Any:
    """The graph with shapes at batch 1; large weights are emptied first, as inference copies the model."""
    for value in _true_inputs(model.graph):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > SMALL:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        # A graph that ONNX cannot follow still has operators and weights to show; what needs shapes is unknown.
        return model.graph


class _Values:
    """Types, shapes and makers of a graph's tensors, by name."""

    def __init__(self, graph: Any) -> None:
        self._nodes = list(graph.node)
        self._maker = {name: node for node in self._nodes for name in node.output}
        self._tensors: dict[str, tuple[int, tuple[int | str, ...] | None]] = {
            tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer
        }
        for value in (*graph.value_info, *graph.input, *graph.output):
            port = _port(value)
            known = tuple(port.shape) if value.type.tensor_type.HasField("shape") else None
            self._tensors.setdefault(value.name, (value.type.tensor_type.elem_type, known))

    def convolutions(self) -> list[Any]:
        return [node for node in self._nodes if node.op_type in CONVOLUTIONS]

    def precision(self, node: Any) -> str:
        """Element type that a convolution computes in."""
        quantized = [self._stored_type(name) for name in node.input[:2]]
        if all(quantized):
            return f"{quantized[0]} (quantized)"
        return self._type(node.input[0]) or self._type(node.input[1]) or self._type(node.output[0]) or "unknown"

    def _stored_type(self, name: str) -> str:
        maker = self._maker.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return ""
        return self._type(maker.input[0]) or "unknown"

    def _type(self, name: str) -> str:
        number, _ = self._tensors.get(name, (0, None))
        return _type_name(number) if number else ""

    def macs(self) -> int | None:
        counts = [self._convolution_macs(node) for node in self.convolutions()]
        return None if None in counts else sum(c for c in counts if c is not None)

    def _convolution_macs(self, node: Any) -> int | None:
        # Conv: each output element takes (C_in / group) * kernel products; transposed, each input element
        # gives (C_out / group) * kernel. Both are the weight's elements divided by its first size.
        moving = self._shape(node.output[0] if node.op_type == "Conv" else node.input[0])
        kernel = self._shape(node.input[1])
        return None if moving is None or kernel is None else math.prod(moving) * math.prod(kernel[1:])

    def _shape(self, name: str) -> tuple[int, ...] | None:
        _, shape = self._tensors.get(name, (0, None))
        if shape is None or not all(isinstance(size, int) for size in shape):
            return None
        return tuple(int(size) for size in shape)


def graph_lines(facts: GraphFacts) -> list[str]:
    """The facts as lines for a terminal."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in facts.opsets.items())
    macs = "unknown, as a shape is" if facts.macs is None else f"{facts.macs / 1e6:,.3f} million at batch 1"
    return [
        f"{facts.path}: ONNX graph, {size_text(facts.size)}, by {facts.producer or 'an unnamed program'}",
        *(f"  {key}: {value}" for key, value in facts.says.items()),
        f"  opset: {opsets}; IR version {facts.ir_version}",
        *(f"  input: {_port_text(port)}" for port in facts.inputs),
        *(f"  output: {_port_text(port)}" for port in facts.outputs),
        f"  parameters: {facts.parameters:,} ({_counts(facts.weights)})",
        f"  convolutions: {_counts(facts.convolutions)}; multiply-accumulates: {macs}",
        f"  operators: {_counts(facts.operators)}",
        *(f"  weights in another file: {name}" for name in facts.external),
    ]


def _port_text(port: Port) -> str:
    return f"{port.name} {port.type} ({', '.join(map(str, port.shape))})"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
