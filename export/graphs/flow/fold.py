"""Exact rewrites of the trained model before export: each changes a copy in place, in float64.

What is not folded, because it would not be exact: the mean of the frame and the standardisation into the
convolutions after them, whose zero padding stands for the mean there and not for 0; and the standardisation into the
backbone, which is the same for every product.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from csflow.export.graphs.flow.folded import InferenceBackbone, InferenceFlow, UpConvolution
from csflow.export.graphs.flow.tap_convolution import TapConvolution
from csflow.toolkit.backbones.efficientnet import Backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow

__all__ = [
    "BACKBONE_FOLDS",
    "flow_folds",
    "fold_backbone",
    "fold_batch_norms",
    "fold_clamp",
    "fold_flow",
    "fold_gamma",
    "fold_pixel_scale",
    "fold_upsampling",
    "merge_biases",
]

ENLARGE_LAST_FROM = 128
"""Hidden width from which convolving before enlarging is faster (docs/benchmarks.md, Folds); a narrower convolution
takes less time than the two matrix products after it."""


def fold_backbone(backbone: Backbone, pixel_scale: bool = True) -> InferenceBackbone:
    """A copy of the backbone with every fold applied; `backbone` is left as it is.

    Args:
        pixel_scale: whether `fold_pixel_scale` is one of them. In float16 it would push small weights of the stem
            under the smallest normal number.
    """
    folded = InferenceBackbone(backbone)
    fold_batch_norms(folded)
    if pixel_scale:
        fold_pixel_scale(folded)
    return folded


def fold_flow(flow: CrossScaleFlow, config: ModelConfig, definition: str = "scale0-mean-z2") -> InferenceFlow:
    """A copy of the flow with every fold applied; `flow` is left as it is."""
    folded = InferenceFlow(flow, definition)
    for fold in flow_folds(config).values():
        fold(folded)
    return folded


def fold_batch_norms(backbone: InferenceBackbone) -> None:
    """Batch norms into the convolutions before them; what follows in the same layer (the activation) stays."""
    for parent in list(backbone.modules()):
        children = list(parent.named_children())
        for (_, conv), (name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _into_convolution(conv, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))


def _into_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    # Padding lies before the convolution, so a factor and an offset after it never see the border.
    mean, variance = norm.get_buffer("running_mean").double(), norm.get_buffer("running_var").double()
    factor = norm.weight.double() / torch.sqrt(variance + norm.eps)
    bias = torch.zeros_like(mean) if conv.bias is None else conv.bias.double()
    _set(conv, conv.weight.double() * factor[:, None, None, None], norm.bias.double() + (bias - mean) * factor)


def fold_pixel_scale(backbone: InferenceBackbone) -> None:
    """Division by 255 and by the colours' standard deviation into the stem; the mean stays, as the stem pads with 0."""
    stem = backbone.trunk.conv_stem
    assert isinstance(stem, nn.Conv2d)
    _set(stem, stem.weight.double() * backbone.get_buffer("scale").double(), stem.bias)
    backbone.register_buffer("scale", None)


def fold_gamma(flow: InferenceFlow) -> None:
    """The factor gamma_i of an output into every convolution that feeds it."""
    for net in flow.nets():
        gamma = net.get_buffer("gamma").double()
        for scale in range(len(net.leave)):
            for conv in map(_convolution, net.feeding(scale)):
                bias = None if conv.bias is None else conv.bias.double() * gamma[scale]
                _set(conv, conv.weight.double() * gamma[scale], bias)
        net.register_buffer("gamma", None)


def merge_biases(flow: InferenceFlow) -> None:
    """The biases of the two or three convolutions that are summed into one."""
    for net in flow.nets():
        for scale in range(len(net.leave)):
            convolutions = [_convolution(m) for m in net.feeding(scale)]
            total = torch.stack([c.bias.double() for c in convolutions if c.bias is not None]).sum(dim=0)
            first, *others = convolutions
            _set(first, first.weight, total)
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
    _set(conv, conv.weight.double() * rows[:, None, None, None], bias)


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


def _set(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    dtype = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    conv.bias = None if bias is None else nn.Parameter(bias.to(dtype), requires_grad=False)


BACKBONE_FOLDS: dict[str, Callable[[InferenceBackbone], None]] = {
    "batch norm into convolutions": fold_batch_norms,
    "pixel scale into the stem": fold_pixel_scale,
}


def flow_folds(config: ModelConfig) -> dict[str, Callable[[InferenceFlow], None]]:
    """Name and function of each fold of the flow, in the order in which they apply."""
    return {
        "gamma into convolutions": fold_gamma,
        "one bias per output": merge_biases,
        "clamp's divisor into convolutions": fold_clamp,
        "convolve before enlarging": partial(fold_upsampling, sides=[side for _, side, _ in config.feature_shapes]),
    }
