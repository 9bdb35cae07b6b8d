"""Exact rewrites of the trained flow before export: each changes a copy in place, in float64.

What is not folded, because it would not be exact: the standardisation into the convolutions after it, whose zero
padding stands for the mean there and not for 0; and the standardisation into the backbone, which is the same for
every product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from csflow.export.graphs.heads.flow.folded import InferenceFlow, UpConvolution
from csflow.export.graphs.heads.flow.tap_convolution import TapConvolution
from csflow.toolkit.backbones.fold import set_convolution
from csflow.toolkit.methods.flow.flow import CrossScaleFlow

__all__ = [
    "flow_folds",
    "fold_clamp",
    "fold_flow",
    "fold_gamma",
    "fold_upsampling",
    "merge_biases",
]

ENLARGE_LAST_FROM = 128
"""Hidden width from which convolving before enlarging is faster (docs/benchmarks.md, Folds); a narrower convolution
takes less time than the two matrix products after it."""


def fold_flow(flow: CrossScaleFlow, sides: Sequence[int], definition: str = "scale0-mean-z2") -> InferenceFlow:
    """A copy of the flow with every fold applied; `flow` is left as it is.

    Args:
        sides: of the map at each scale, finest first.
        definition: of the anomaly map, as in `FlowConfig`.
    """
    folded = InferenceFlow(flow, definition)
    for fold in flow_folds(sides).values():
        fold(folded)
    return folded


def fold_gamma(flow: InferenceFlow) -> None:
    """The factor gamma_i of an output into every convolution that feeds it."""
    for net in flow.nets():
        gamma = net.get_buffer("gamma").double()
        for scale in range(len(net.leave)):
            for conv in map(_convolution, net.feeding(scale)):
                bias = None if conv.bias is None else conv.bias.double() * gamma[scale]
                set_convolution(conv, conv.weight.double() * gamma[scale], bias)
        net.register_buffer("gamma", None)


def merge_biases(flow: InferenceFlow) -> None:
    """The biases of the two or three convolutions that are summed into one."""
    for net in flow.nets():
        for scale in range(len(net.leave)):
            convolutions = [_convolution(m) for m in net.feeding(scale)]
            total = torch.stack([c.bias.double() for c in convolutions if c.bias is not None]).sum(dim=0)
            first, *others = convolutions
            set_convolution(first, first.weight, total)
            for conv in others:
                conv.bias = None


def fold_clamp(flow: InferenceFlow) -> None:
    """The division s / alpha before the arc tangent into the rows that give s."""
    for block in flow.blocks():
        for net in (block.net1, block.net2):
            for scale in range(len(net.leave)):
                for conv in map(_convolution, net.feeding(scale)):
                    _divide_first_half(conv, block.divisor)
        block.divisor = 1.0


def _divide_first_half(conv: nn.Conv2d, divisor: float) -> None:
    rows = torch.ones(conv.out_channels, dtype=torch.float64)
    rows[: conv.out_channels // 2] = 1.0 / divisor
    rows = rows.to(conv.weight.device)
    bias = None if conv.bias is None else conv.bias.double() * rows
    set_convolution(conv, conv.weight.double() * rows[:, None, None, None], bias)


def fold_upsampling(flow: InferenceFlow, sides: Sequence[int], narrowest: int = ENLARGE_LAST_FROM) -> None:
    """Enlarge-then-convolve becomes convolve-then-enlarge: a quarter of the multiplications, borders included.

    Args:
        sides: of the map at each scale, finest first.
        narrowest: hidden width from which the flow's convolutions are rewritten.
    """
    for net in flow.nets():
        for i, up in enumerate(net.up):
            if isinstance(up, UpConvolution) and up.convolution.in_channels >= narrowest:
                net.up[i] = TapConvolution(up.convolution, sides[i + 1])


def _convolution(module: nn.Module) -> nn.Conv2d:
    conv = module.convolution if isinstance(module, UpConvolution) else module
    assert isinstance(conv, nn.Conv2d)
    return conv


def flow_folds(sides: Sequence[int]) -> dict[str, Callable[[InferenceFlow], None]]:
    """Name and function of each fold of a flow over maps of these sides, in the order in which they apply."""
    return {
        "gamma into convolutions": fold_gamma,
        "one bias per output": merge_biases,
        "clamp's divisor into convolutions": fold_clamp,
        "convolve before enlarging": partial(fold_upsampling, sides=sides),
    }
