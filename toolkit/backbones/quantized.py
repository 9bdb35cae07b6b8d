"""An EfficientNet in eight bits, fixed before anything is fitted to its features: what runs is what was trained on.

Rounded are what flows into each convolution of the stages and into each sum of a residual block, and their weights;
of smooth activations and of squeeze-and-excitation what `smooth` says. The features themselves are wide. So every
number on the way is exact in float32, or is rounded far from an edge: torch, ONNX Runtime, OpenVINO and TensorRT give
the same features to the last bit.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone, Trunk
from csflow.toolkit.backbones.efficientnet import EfficientNetTrunk
from csflow.toolkit.backbones.fold import into_convolution, set_convolution
from csflow.toolkit.backbones.rounding import Range, RoundedConvolution, Rounding, on_grid, round_weights
from csflow.toolkit.backbones.smooth import RoundedActivation, RoundedSqueeze, is_smooth

__all__ = ["is_quantized", "quantize_trunk", "quantized"]

PIXEL = 2.0**-7
"""Grid of the normalised pixels: about as fine as a grey level, and no grey level near a rounding's edge."""
STEM_LEVELS = 1016
"""27 products of a pixel below 2.7 and a weight stay below 2^24 grid points."""


class _RoundedStem(nn.Module):
    """The first convolution: pixels and weights on grids of their own, finer than eight bits."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.round(x * (1.0 / PIXEL)) * PIXEL)
        return y

    def fit(self) -> None:
        weight, scale = round_weights(self.conv.weight.detach(), STEM_LEVELS)
        set_convolution(self.conv, weight, on_grid(self.conv.bias, scale * PIXEL))


class _RoundedBlock(nn.Module):
    """A block that reads, and adds to its result, what is rounded once."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.rounding = Rounding()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(self.rounding(x))
        return y

    def fit(self) -> None:
        scale = self.rounding.get_buffer("scale")
        for module in self.block.children():
            if isinstance(module, RoundedActivation):
                scale = module.after.get_buffer("scale")
            elif isinstance(module, RoundedConvolution):
                own = module.rounding
                module.fit(own.get_buffer("scale") if isinstance(own, Rounding) else scale)


def quantize_trunk(trunk: Trunk) -> None:
    """Change a trunk in place into one of eight bits; ranges and grids are still to be fitted, or loaded.

    Raises ConfigError where it is no EfficientNet.
    """
    if not isinstance(trunk, EfficientNetTrunk):
        raise ConfigError("int8 is defined for EfficientNets alone: leave --backbone-precision out")
    _fold(trunk)
    trunk.conv_stem = _RoundedStem(trunk.conv_stem)
    if is_smooth(trunk.bn1):
        trunk.bn1 = RoundedActivation(trunk.bn1)
    for stage in trunk.blocks.children():
        for name, block in list(stage.named_children()):
            _round_block(block)
            setattr(stage, name, _RoundedBlock(block))


def _fold(trunk: nn.Module) -> None:
    for parent in list(trunk.modules()):
        for (_, conv), (name, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                into_convolution(conv, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))


def _round_block(block: nn.Module) -> None:
    """Convolutions, smooth activations and squeeze-and-excitation of a block, as they follow one another."""
    rounded = True
    for name, module in list(block.named_children()):
        if isinstance(module, nn.Conv2d):
            setattr(block, name, RoundedConvolution(module, rounds_input=not rounded))
            rounded = False
        elif isinstance(module, SqueezeExcite):
            if not rounded:
                # The mean and the product read what the convolution before gives.
                block.aa = Rounding()
            setattr(block, name, RoundedSqueeze(module))
            rounded = False
        elif name.startswith("bn") and is_smooth(module):
            setattr(block, name, RoundedActivation(module))
            rounded = True


def is_quantized(network: nn.Module) -> bool:
    """Whether any convolution of a network runs in eight bits."""
    return any(isinstance(module, RoundedConvolution) for module in network.modules())


def quantized(backbone: Backbone, batches: Iterable[Tensor]) -> Backbone:
    """A float32 EfficientNet in eight bits, with ranges from frames (N, S, S, 3) uint8 of good parts.

    Its trunk is changed in place. Ranges are those of the network before anything is rounded. Raises ConfigError where
    it is no EfficientNet.
    """
    quantize_trunk(backbone.trunk)
    made = Backbone(backbone.trunk, dataclasses.replace(backbone.config, precision="int8"))
    _fit(made, batches)
    return made


@torch.inference_mode()
def _fit(backbone: Backbone, batches: Iterable[Tensor]) -> None:
    roundings = [m for m in backbone.modules() if isinstance(m, Rounding)]
    for rounding in roundings:
        rounding.seen = Range()
    for frames in batches:
        backbone(frames)
    for rounding in roundings:
        if rounding.seen is not None:
            rounding.register_buffer("scale", torch.tensor(rounding.seen.scale()))
        rounding.seen = None
    for module in backbone.modules():
        if isinstance(module, (_RoundedStem, _RoundedBlock, RoundedActivation, RoundedSqueeze)):
            module.fit()
