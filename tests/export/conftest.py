"""Models without trained weights whose every fold has something to do, and a graph whose numbers are known by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from csflow.toolkit.backbone import Backbone, build_backbone
from csflow.toolkit.config import BackboneConfig, FlowConfig, ModelConfig
from csflow.toolkit.flow import CrossScaleFlow, Standardise

MakeFlow = Callable[..., tuple[CrossScaleFlow, ModelConfig]]
MakeBackbone = Callable[..., Backbone]


@pytest.fixture
def make_flow() -> MakeFlow:
    """`make_flow(scales=3, kernels=(3, 5), hidden=16, standardise=True)`: float32, gamma and statistics random."""

    def make(
        scales: int = 3, kernels: tuple[int, ...] = (3, 5), hidden: int = 16, standardise: bool = True
    ) -> tuple[CrossScaleFlow, ModelConfig]:
        torch.manual_seed(7)
        backbone = BackboneConfig("tf_efficientnet_lite0", scales=scales)
        flow_config = FlowConfig(12, scales, kernels, hidden, standardise=standardise)
        config = ModelConfig(32 << scales, backbone, flow_config)
        flow = CrossScaleFlow(config.flow).eval().requires_grad_(False)
        for name, parameter in flow.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
        if isinstance(first := flow.layers[0], Standardise):
            first.get_buffer("mean").normal_()
            first.get_buffer("std").uniform_(0.5, 2.0)
        return flow, config

    return make


@pytest.fixture
def make_backbone() -> MakeBackbone:
    """`make_backbone(name, padding="timm", scales=2)`: batch norms' statistics, weights and biases random."""

    def make(name: str = "tf_efficientnet_lite0", padding: str = "timm", scales: int = 2) -> Backbone:
        torch.manual_seed(8)
        backbone = build_backbone(BackboneConfig(name, scales, padding=padding))
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(0.0, 0.2)
                module.get_buffer("running_var").uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.7, 1.3)
                module.bias.data.normal_(0.0, 0.2)
        return backbone

    return make


@pytest.fixture
def conv(tmp_path: Path) -> Path:
    """3 -> 8 channels, 3 x 3, half the size, with bias; then a Relu."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    weights = {"w": np.zeros((8, 3, 3, 3), np.float32), "b": np.zeros(8, np.float32)}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 8, 8])
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    path = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
