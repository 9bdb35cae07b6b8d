"""Half precision written into the modules: convolutions in float16, and float32 where float16 would be wrong.

Stay in float32: the frame's normalisation, the mean of squeeze pooling, the coupling blocks' state and affine maps with
atan and exp, the clip at ±1e6, z² and every sum. What enters a convolution of the flow is
clamped to a bound that its weights give, so that no sum, in whatever order and type it is accumulated, leaves
the range of float16: strong anomalies saturate and never become infinite or NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from csflow.export.graphs.flow.folded import InferenceBackbone, InferenceFlow, UpConvolution
from csflow.export.graphs.flow.tap_convolution import TapConvolution

__all__ = ["HALF_MAX", "Saturate", "WideSqueeze", "halve_backbone", "halve_flow", "input_bound"]

HALF_MAX = 65504.0
"""The largest float16."""
SUM_LIMIT = 60000.0
"""What a sum of products may reach: rounding its terms and partial sums upwards still stays below `HALF_MAX`."""


class Saturate(nn.Module):
    """Clamp to ± `bound`, then cast to float16."""

    def __init__(self, bound: float = HALF_MAX) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to float16."""
        return x.clamp(-self.bound, self.bound).half()


class WideSqueeze(nn.Module):
    """Squeeze-and-excitation whose mean over up to 10⁵ positions is taken in float32."""

    def __init__(self, squeeze: SqueezeExcite) -> None:
        super().__init__()
        self.excite = nn.Sequential(squeeze.conv_reduce, squeeze.act1, squeeze.conv_expand, squeeze.gate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) float16 to the same."""
        mean = x.float().mean((2, 3), keepdim=True)
        y: Tensor = x * self.excite(mean.to(x.dtype))
        return y


def halve_backbone(backbone: InferenceBackbone) -> InferenceBackbone:
    """Change the backbone in place: the trunk in float16, features float16, normalisation and squeeze means float32."""
    backbone.trunk.half()
    for parent in list(backbone.trunk.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SqueezeExcite):
                setattr(parent, name, WideSqueeze(child))
    backbone.narrow = Saturate()
    return backbone


def halve_flow(flow: InferenceFlow) -> InferenceFlow:
    """Change the flow in place: the sub-networks in float16, everything between them in float32, every block clips."""
    for net in flow.nets():
        hidden = min(input_bound(net.feeding(i)) for i in range(len(net.leave)))
        net.narrow_input = Saturate(min(input_bound([enter]) for enter in net.enter))
        net.narrow_hidden = Saturate(hidden)
        net.half()
    for block in flow.blocks():
        block.clip = True
    return flow


def input_bound(convolutions: Sequence[nn.Module]) -> float:
    """The largest |input| for which the sum of these convolutions cannot leave float16.

    |sum| ≤ |bias| + bound · Σ|weight| for every output; enlarging is an average and adds nothing.
    """
    inner = [module.convolution if isinstance(module, UpConvolution) else module for module in convolutions]
    weights = torch.stack([_absolute_weights(module) for module in inner]).sum(dim=0)
    biases = [module.get_parameter("bias").double().abs() for module in inner if module.bias is not None]
    room = (SUM_LIMIT - sum(biases)) / weights
    return float(room.clamp(0.0, HALF_MAX).min())


def _absolute_weights(module: nn.Module) -> Tensor:
    weight = module.get_parameter("weight").double().abs()
    outputs = module.outputs if isinstance(module, TapConvolution) else weight.shape[0]
    return weight.reshape(outputs, -1).sum(dim=1)
