"""Half precision written into the flow: convolutions in float16, and float32 where float16 would be wrong.

Stay in float32: standardisation, the coupling blocks' state and affine maps with atan and exp, the clip at ±1e6, z² and
every sum. What enters a convolution of the flow is clamped to a bound that its weights give, so that no sum, in
whatever order and type it is accumulated, leaves the range of float16: strong anomalies saturate and never become
infinite or NaN. The matrices that whiten are in float16 and guarded alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csflow.export.graphs.half import HalfMatrices, Saturate, safe_bound
from csflow.export.graphs.heads.flow.folded import InferenceFlow, UpConvolution
from csflow.export.graphs.heads.flow.tap_convolution import TapConvolution

__all__ = ["halve_flow", "input_bound"]


def halve_flow(flow: InferenceFlow) -> InferenceFlow:
    """Change the flow in place: the sub-networks in float16, everything between them in float32, every block clips."""
    for net in flow.nets():
        hidden = min(input_bound(net.feeding(i)) for i in range(len(net.leave)))
        net.narrow_input = Saturate(min(input_bound([enter]) for enter in net.enter))
        net.narrow_hidden = Saturate(hidden)
        net.half()
    for block in flow.blocks():
        block.clip = True
    if flow.whiten is not None:
        for i in range(flow.whiten.scales):
            flow.whiten.matrices[i] = HalfMatrices(flow.whiten.matrix(i))
    return flow


def input_bound(convolutions: Sequence[nn.Module]) -> float:
    """The largest |input| for which the sum of these convolutions cannot leave float16.

    |sum| ≤ |bias| + bound · Σ|weight| for every output; enlarging is an average and adds nothing.
    """
    inner = [module.convolution if isinstance(module, UpConvolution) else module for module in convolutions]
    weights = torch.stack([_absolute_weights(module) for module in inner]).sum(dim=0)
    biases = [module.get_parameter("bias").double().abs() for module in inner if module.bias is not None]
    return safe_bound(weights, sum(biases, torch.zeros(())))


def _absolute_weights(module: nn.Module) -> Tensor:
    weight = module.get_parameter("weight").double().abs()
    outputs = module.outputs if isinstance(module, TapConvolution) else weight.shape[0]
    return weight.reshape(outputs, -1).sum(dim=1)
