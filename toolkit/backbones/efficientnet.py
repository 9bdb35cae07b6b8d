"""The EfficientNets of timm as trunks, with the padding conventions that their weights were trained under."""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Features, Trunk
from csflow.toolkit.backbones.config import BackboneConfig

__all__ = ["STAGES", "EfficientNetTrunk", "is_efficientnet", "set_padding"]

STAGES = 7
"""Of every EfficientNet; in B5 the sixth ends with block index 35 of the reference (304 channels, stride 32)."""

DESIGN_SIZES = (224, 240, 260, 300, 380, 456, 528, 600)
"""Pixels a side that EfficientNet B0 to B7 were designed for (Tan and Le 2019; efficientnet_pytorch)."""


class EfficientNetTrunk(Trunk):
    """Stem and first stages of a timm EfficientNet.

    Parameter names are timm's, so that timm state dicts load without a key map once head, later stages and
    classifier are dropped.
    """

    def __init__(self, network: nn.Module, stages: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_stem = network.get_submodule("conv_stem")
        self.bn1 = network.get_submodule("bn1")
        self.blocks = nn.Sequential(*list(network.get_submodule("blocks").children())[: stages[-1] + 1])
        self.stages = stages

    def forward(self, x: Tensor) -> Features:
        """Map (N, 3, S, S), normalised, to one (N, C, h, w) tensor per stage that is read."""
        x = self.bn1(self.conv_stem(x))
        found = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in self.stages:
                found.append(x)
        return tuple(found)

    def at_stage(self, x: Tensor, stage: int) -> Tensor:
        """The output of one stage; later ones are not run."""
        x = self.bn1(self.conv_stem(x))
        for block in list(self.blocks)[: stage + 1]:
            x = block(x)
        return x


def is_efficientnet(network: nn.Module) -> bool:
    """Whether this network of timm has the stem and the seven stages that the trunk is made of."""
    blocks = getattr(network, "blocks", None)
    return isinstance(blocks, nn.Sequential) and hasattr(network, "conv_stem") and len(blocks) == STAGES


class _PaddedConv2d(nn.Conv2d):
    """A stride-2 convolution with its own padding before (left, top) and after (right, bottom)."""

    def __init__(self, like: nn.Conv2d, before: int, after: int) -> None:
        kernel = int(like.kernel_size[0])
        super().__init__(like.in_channels, like.out_channels, kernel, 2, groups=like.groups, bias=like.bias is not None)
        self.load_state_dict(like.state_dict())
        self.edges = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.edges))


def set_padding(trunk: EfficientNetTrunk, config: BackboneConfig) -> None:
    """Replace the stride-2 convolutions by ones with the convention's padding; parameter names stay.

    The sides that they see are even (image_size is a multiple of 32 at every scale), so the padding is constant.
    Raises ConfigError for a convention that is not defined for the network.
    """
    side = _design_size(config.name) if config.padding == "lm071" else 0
    strided = [(name, m) for name, m in trunk.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    for name, conv in strided:
        kernel = int(conv.kernel_size[0])
        total = kernel - 1 if config.padding == "symmetric" or side % 2 else kernel - 2
        # efficientnet_pytorch 0.7.1 follows the size of its design through the layers, rounding up.
        side = -(-side // 2)
        parent, _, leaf = name.rpartition(".")
        setattr(trunk.get_submodule(parent), leaf, _PaddedConv2d(conv, total // 2, total - total // 2))


def _design_size(name: str) -> int:
    match = re.search(r"efficientnet_b([0-7])(\.|_|$)", name)
    if match is None:
        raise ConfigError(f"padding 'lm071' is defined for EfficientNet B0 to B7, not for {name!r}: choose another")
    return DESIGN_SIZES[int(match[1])]
