"""Models without trained weights whose every fold has something to do."""

from collections.abc import Callable

import pytest
import torch

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
