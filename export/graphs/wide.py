"""Parts of a backbone that stay in float32 where the rest computes in bfloat16.

Nearly all that bfloat16 does to the score of a good part is born in the first two convolutions of each image scale,
the stem and what follows it (docs/benchmarks.md): rounding there is rounding the picture. They are a small share of
the products. So the graph is cut behind them, and each part is compiled in a precision of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.utils

from csflow.export.graphs.onnx_export import graph_facts
from csflow.export.graphs.signature import sign
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file, wide_files
from csflow.toolkit.config import BACKBONE, ModelConfig

__all__ = ["CONVOLUTIONS", "cut_backbone", "wide_graphs"]

CONVOLUTIONS = 2
"""Of each image scale that stay wide: one more third of the error is left by fourteen of sixty."""


def wide_graphs(bundle: Bundle) -> dict[str, bytes]:
    """The files of `wide_files` for the backbone of a bundle that has float32 graphs.

    None of them where there is nothing to keep wide: the backbone is int8 already, or cannot be cut.
    """
    if ModelConfig.from_manifest(bundle.manifest).backbone.precision != "fp32":
        return {}
    parts = cut_backbone(onnx.load_from_string(bundle.read(graph_file("fp32", BACKBONE))))
    return {file: _signed(bundle, part, file) for file, part in zip(wide_files(BACKBONE), parts, strict=False)}


def cut_backbone(model: onnx.ModelProto) -> tuple[onnx.ModelProto, ...]:
    """(first, second) parts that together are `model`, joined by the names of tensors; nothing where it has no cut.

    The cut of each output lies behind the first `CONVOLUTIONS` that lead to it, where a single tensor flows.
    """
    outputs = [port.name for port in model.graph.output]
    cuts = list(dict.fromkeys(_cut(model.graph, output) for output in outputs))
    if None in cuts:
        return ()
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    names = {cut: f"{BACKBONE}_wide_{i}" for i, cut in enumerate(cuts) if cut is not None}
    _rename(whole.graph, names)
    extractor = onnx.utils.Extractor(whole)
    joints = list(names.values())
    inputs = [port.name for port in model.graph.input]
    return extractor.extract_model(inputs, joints), extractor.extract_model(joints, outputs)


def _cut(graph: onnx.GraphProto, output: str) -> str | None:
    """The first tensor on the way to `output` that is alone behind so many convolutions."""
    nodes = _leading_to(graph, output)
    last = {name: i for i, node in enumerate(nodes) for name in node.input}
    alive: set[str] = set()
    convolutions = 0
    for i, node in enumerate(nodes):
        convolutions += node.op_type == "Conv"
        alive = {name for name in (*alive, *node.output) if last.get(name, -1) > i}
        if convolutions >= CONVOLUTIONS and len(alive) == 1:
            return alive.pop()
    return None


def _leading_to(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that an output needs, in running order."""
    needed, found = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    def renamed(values: Iterable[str]) -> list[str]:
        return [names.get(value, value) for value in values]

    for node in graph.node:
        node.input[:] = renamed(node.input)
        node.output[:] = renamed(node.output)
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)


def _signed(bundle: Bundle, part: onnx.ModelProto, file: str) -> bytes:
    name = file.rpartition("/")[2].removesuffix(".onnx")
    part.ir_version = min(part.ir_version, 10)
    sign(part, name, graph_facts(bundle, BACKBONE, "bf16"))
    data: bytes = part.SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    return data
