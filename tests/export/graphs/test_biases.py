"""Biases that no other convolution reads: OpenVINO then joins what follows a convolution with it."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from csflow.export.graphs.biases import unshare_biases
from csflow.runtime.bundle.directory import Bundle


def twice(bias: np.ndarray) -> onnx.ModelProto:
    """One convolution at two places, with an activation behind each."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((16, 16, 1, 1)).astype(np.float32), "b": bias}
    nodes = []
    for x, y, z in (("x", "y0", "z0"), ("z0", "y1", "z1")):
        nodes += [helper.make_node("Conv", [x, "w", "b"], [y]), helper.make_node("Relu", [y], [z])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in ("x", "z1")]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def layers(model: onnx.ModelProto) -> Counter[str]:
    """Kinds of layer that OpenVINO's CPU plugin runs."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return Counter(op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops())


def test_nothing_is_left_behind_a_convolution() -> None:
    model = twice(np.arange(16, dtype=np.float32))
    unshare_biases(model)
    onnx.checker.check_model(model, full_check=True)
    found = layers(model)
    assert found["Convolution"] == 2
    assert not {"Subgraph", "Eltwise"} & found.keys()


def test_biases_stay_what_they_were() -> None:
    model = twice(np.arange(16, dtype=np.float32))
    unshare_biases(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = [node.input[2] for node in model.graph.node if node.op_type == "Conv"]
    assert len(set(read)) == 2
    assert all(np.array_equal(stored[name], np.arange(16)) for name in read)
    before = len(model.graph.initializer)
    unshare_biases(model)
    assert len(model.graph.initializer) == before, "the second time there is nothing to do"


def test_an_exported_backbone_is_convolutions_alone(trained: Path) -> None:
    model = onnx.load_from_string(Bundle.open(trained).read("graphs/fp32/backbone.onnx"))
    read = Counter(node.input[2] for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2)
    assert read
    assert set(read.values()) == {1}
    found = layers(model)
    assert found["Subgraph"] + found["Eltwise"] <= 1, "nothing but the pixels' own scale"
