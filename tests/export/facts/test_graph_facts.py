"""What inspect says of graphs whose numbers are known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from csflow.export.facts.graph_facts import GraphFacts, Port, graph_facts
from csflow.export.facts.inspection import inspect_path
from csflow.runtime.errors import ConfigError

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def tensor(name: str, array: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_convolution(conv: Path) -> None:
    facts = graph_facts(conv)
    assert facts == GraphFacts(
        path=str(conv),
        size=conv.stat().st_size,
        producer="",
        says={},
        ir_version=10,
        opsets={"ai.onnx": 20},
        inputs=(Port("x", "FLOAT", ("batch", 3, 16, 16)),),
        outputs=(Port("y", "FLOAT", ("batch", 8, 8, 8)),),
        operators={"Conv": 1, "Relu": 1},
        weights={"FLOAT": 8 * 27 + 8},
        parameters=8 * 27 + 8,
        convolutions={"FLOAT": 1},
        macs=8 * 8 * 8 * 27,
        external=(),
    )


def test_groups_and_transposed_convolutions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "depthwise"], ["c"], group=4),
        helper.make_node("ConvTranspose", ["c", "up"], ["y"], strides=[2, 2]),
    ]
    weights = [
        tensor("depthwise", np.zeros((4, 1, 3, 3), np.float32)),
        tensor("up", np.zeros((4, 6, 2, 2), np.float32)),
    ]
    ports = [value("x", FLOAT, [1, 4, 10, 10])], [value("y", FLOAT, [1, 6, 16, 16])]
    facts = graph_facts(saved(tmp_path / "g.onnx", nodes, *ports, weights))
    assert facts.macs == 4 * 8 * 8 * 9 + 4 * 8 * 8 * 6 * 4


def test_precisions_are_those_that_convolutions_compute_in(tmp_path: Path) -> None:
    """One float, one half behind a Cast, one quantized; indices are no parameters."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["h"], to=HALF),
        helper.make_node("Conv", ["h", "w16"], ["b"]),
        helper.make_node("Cast", ["b"], ["f"], to=FLOAT),
        helper.make_node("QuantizeLinear", ["f", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["dw"]),
        helper.make_node("Conv", ["dq", "dw"], ["c"]),
        helper.make_node("Gather", ["c", "order"], ["y"], axis=1),
    ]
    kernel = np.zeros((4, 4, 1, 1))
    weights = [
        tensor("w", kernel.astype(np.float32)),
        tensor("w16", kernel.astype(np.float16)),
        tensor("w8", kernel.astype(np.int8)),
        tensor("scale", np.float32(1)),
        tensor("zero", np.int8(0)),
        tensor("order", np.arange(4)),
    ]
    ports = [value("x", FLOAT, [1, 4, 5, 5])], [value("y", FLOAT, [1, 4, 5, 5])]
    facts = graph_facts(saved(tmp_path / "g.onnx", nodes, *ports, weights))
    assert facts.convolutions == {"FLOAT": 1, "FLOAT16": 1, "INT8 (quantized)": 1}
    assert facts.weights == {"FLOAT": 17, "FLOAT16": 16, "INT8": 17, "INT64": 4}
    assert facts.parameters == 17 + 16 + 17
    assert facts.macs == 3 * 25 * 16


def test_large_weights_do_not_disturb_shapes(tmp_path: Path) -> None:
    weights = [tensor("w", np.zeros((64, 64, 3, 3), np.float32)), tensor("shape", np.array([1, 64, 12, 12]))]
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("Conv", ["r", "w"], ["y"])]
    ports = [value("x", FLOAT, [1, 64 * 144])], [value("y", FLOAT, ["n", "c", "h", "w"])]
    assert graph_facts(saved(tmp_path / "g.onnx", nodes, *ports, weights)).macs == 64 * 10 * 10 * 64 * 9


def test_what_cannot_be_inferred_is_unknown_not_zero(tmp_path: Path) -> None:
    weights = [tensor("w", np.zeros((8, 3, 3, 3), np.float32))]
    ports = [value("x", FLOAT, [1, 3, "height", "width"])], [value("y", FLOAT, [1, 8, "a", "b"])]
    path = saved(tmp_path / "g.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], *ports, weights)
    assert graph_facts(path).macs is None
    assert "unknown" in "\n".join(inspect_path(path).lines)


def test_operators_of_branches_are_counted(tmp_path: Path) -> None:
    branches = {
        name: helper.make_graph([helper.make_node(kind, ["x"], ["o"])], name, [], [value("o", FLOAT, [1, 3, 4, 4])])
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Exp"))
    }
    ports = [value("x", FLOAT, [1, 3, 4, 4]), value("p", TensorProto.BOOL, [])], [value("y", FLOAT, [1, 3, 4, 4])]
    path = saved(tmp_path / "g.onnx", [helper.make_node("If", ["p"], ["y"], **branches)], *ports, [])
    assert graph_facts(path).operators == {"If": 1, "Relu": 1, "Exp": 1}


def test_functions_of_the_model_are_expanded(conv: Path) -> None:
    model, domain = onnx.load(conv), helper.make_opsetid("own", 1)
    node = helper.make_node("Conv", ["a", "b"], ["c"])
    model.functions.append(helper.make_function("own", "Wrapped", ["a", "b"], ["c"], [node], [model.opset_import[0]]))
    model.opset_import.append(domain)
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Wrapped", ["x", "w"], ["y"], domain="own"))
    model.graph.output[0].CopyFrom(value("y", FLOAT, ["batch", 8, 14, 14]))
    onnx.save(model, conv)
    facts = graph_facts(conv)
    assert (facts.operators, facts.macs) == ({"Conv": 1}, 8 * 14 * 14 * 27)
    endless = helper.make_node("Wrapped", ["a", "b"], ["c"], domain="own")
    model.functions[0].node[0].CopyFrom(endless)
    model.functions[0].opset_import.append(domain)
    onnx.save(model, conv)
    with pytest.raises(ConfigError, match="cannot be expanded"):
        graph_facts(conv)


def test_weights_in_another_file_are_named_not_read(conv: Path) -> None:
    model = onnx.load(conv)
    path = conv.with_name("split.onnx")
    onnx.save(model, path, save_as_external_data=True, location="split.data", size_threshold=0)
    path.with_name("split.data").unlink()
    facts = graph_facts(path)
    assert facts.external == ("split.data",)
    assert (facts.parameters, facts.macs) == (224, 8 * 8 * 8 * 27)


def test_the_exported_graphs(trained: Path) -> None:
    flow = graph_facts(trained / "graphs" / "fp32" / "flow.onnx")
    assert [port.name for port in flow.outputs] == ["score", "anomaly_map"]
    assert set(flow.convolutions) == {"FLOAT"}
    assert flow.opsets == {"ai.onnx": 20}
    assert flow.macs


def test_no_text_of_a_file_steers_the_terminal(tmp_path: Path) -> None:
    ports = [value("x\x1b[2J", FLOAT, [1])], [value("y\nz", FLOAT, [1])]
    path = saved(tmp_path / "g.onnx", [helper.make_node("Relu", ["x\x1b[2J"], ["y\nz"])], *ports, [])
    lines = inspect_path(path).lines
    assert all(line.isprintable() for line in lines)
    assert any("x\\x1b[2J" in line for line in lines)
