"""An EfficientNet in eight bits, fixed before anything is fitted to its features: what runs is what was trained on.

Rounded are what flows into each convolution of the stages, and their weights; where activations have no ceiling, what
residual blocks carry on, too; of smooth activations and of squeeze-and-excitation what `smooth` says. The features
themselves are wide. So every number on the way is exact in float32, or is rounded far from an edge: torch, ONNX
Runtime, OpenVINO and TensorRT give the same features to the last bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone, Trunk
from csflow.toolkit.backbones.efficientnet import EfficientNetTrunk
from csflow.toolkit.backbones.fold import into_convolution
from csflow.toolkit.backbones.int8.convolutions import RoundedConvolution, RoundedStem, WideConvolution, wide_levels
from csflow.toolkit.backbones.int8.least_error import Inputs
from csflow.toolkit.backbones.int8.rounding import LEVELS, Range, Rounding, ShiftedRounding, widest_power
from csflow.toolkit.backbones.int8.smooth import SMOOTH_LEVELS, RoundedActivation, RoundedSqueeze, is_smooth

__all__ = ["is_quantized", "quantize_trunk", "quantized"]

SUMS = 1 << 23
"""Grid points that the largest number between blocks has at most, as seen: float32 holds twice as many exactly."""


class _RoundedBlock(nn.Module):
    """A block whose convolutions read what is rounded once."""

    def __init__(self, block: nn.Module, levels: int) -> None:
        super().__init__()
        self.rounding = Rounding(levels)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(self.rounding(x))
        return y

    def fit(self, finest: float) -> None:
        """Put weights on their grids; all ranges are known. `finest`: the least grid of what convolutions give."""
        scale = self.rounding.get_buffer("scale")
        for module in self.block.children():
            if isinstance(module, RoundedActivation):
                scale = module.after.get_buffer("scale")
            elif isinstance(module, WideConvolution):
                module.fit(scale)
            elif isinstance(module, RoundedConvolution):
                own = module.rounding
                module.fit(own.get_buffer("scale") if isinstance(own, Rounding) else scale, finest=finest)


class _CarryingBlock(_RoundedBlock):
    """The same where the block adds what it reads to what it gives: what is added is not rounded."""

    def __init__(self, block: nn.Module, levels: int) -> None:
        super().__init__(block, levels)
        self.carries = bool(getattr(block, "has_skip", False))
        block.has_skip = False  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + x if self.carries else y


def quantize_trunk(trunk: Trunk, wide: int) -> None:
    """Change a trunk in place into one of eight bits; ranges and grids are still to be fitted, or loaded.

    Args:
        wide: as `BackboneConfig.wide`.

    Raises ConfigError where it is no EfficientNet.
    """
    if not isinstance(trunk, EfficientNetTrunk):
        raise ConfigError("int8 is defined for EfficientNets alone: leave --backbone-precision out")
    _fold(trunk)
    levels = _levels_after_stem(trunk) if wide > 1 else LEVELS
    # What is carried unrounded bounds the grids of all weights by the largest number between blocks: with ReLU6 that is
    # small, where activations have no ceiling it left the first weights four bits.
    carrying = wide > 1 and not is_smooth(trunk.bn1)
    assert isinstance(trunk.conv_stem, nn.Conv2d)
    trunk.conv_stem = RoundedStem(trunk.conv_stem)
    if is_smooth(trunk.bn1):
        trunk.bn1 = RoundedActivation(trunk.bn1, levels)
    for stage in trunk.blocks.children():
        for name, block in list(stage.named_children()):
            _round_block(block, levels, ShiftedRounding if wide > 1 else Rounding)
            setattr(stage, name, _CarryingBlock(block, levels) if carrying else _RoundedBlock(block, levels))
            levels = LEVELS


def _levels_after_stem(trunk: EfficientNetTrunk) -> int:
    """Of what flows into the first convolution behind the stem."""
    first = next(module for module in trunk.blocks.modules() if isinstance(module, nn.Conv2d))
    return min(wide_levels(first), SMOOTH_LEVELS) if is_smooth(trunk.bn1) else wide_levels(first)


def _fold(trunk: nn.Module) -> None:
    for parent in list(trunk.modules()):
        for (_, conv), (name, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                into_convolution(conv, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))


def _round_block(block: nn.Module, levels: int, pointwise: type[Rounding]) -> None:
    """Convolutions, smooth activations and squeeze-and-excitation of a block, as they follow one another.

    Args:
        levels: of what flows in; where it is more than eight bits, so is the first convolution.
        pointwise: how a convolution of 1 x 1 rounds what is not rounded yet.
    """
    rounded = True
    for name, module in list(block.named_children()):
        if isinstance(module, nn.Conv2d):
            kind = pointwise if module.kernel_size == (1, 1) else Rounding
            made = RoundedConvolution(module, None if rounded else kind())
            setattr(block, name, made if levels == LEVELS else WideConvolution(module))
            rounded, levels = False, LEVELS
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
    config = backbone.config.in_precision("int8")
    quantize_trunk(backbone.trunk, config.wide)
    made = Backbone(backbone.trunk, config)
    _fit(made, batches)
    return made


@torch.inference_mode()
def _fit(backbone: Backbone, batches: Iterable[Tensor]) -> None:
    roundings = [m for m in backbone.modules() if isinstance(m, Rounding)]
    for rounding in roundings:
        rounding.seen = Range()
    for convolution in backbone.modules():
        if isinstance(convolution, RoundedConvolution):
            convolution.seen = Inputs(convolution.conv)
    for frames in batches:
        backbone(frames)
    blocks = [module for module in backbone.modules() if isinstance(module, _RoundedBlock)]
    tops = [b.rounding.seen.top for b in blocks if isinstance(b, _CarryingBlock) and b.rounding.seen is not None]
    finest = max((widest_power(top, SUMS) for top in tops), default=0.0)
    for rounding in roundings:
        rounding.fit()
    for module in backbone.modules():
        if isinstance(module, (RoundedStem, RoundedActivation, RoundedSqueeze)):
            module.fit()
    for block in blocks:
        block.fit(finest)
