"""Any network of timm that gives feature maps, by name: built without weights, cut after the last stage that is read.

EfficientNets of seven stages count their blocks from 0 to 6, and are read and padded as CS-Flow's reference does. All
others count as timm's `forward_intermediates` does: 0 is the stem of a ResNet and 1 to 4 are its layers; stage i of a
VGG ends before pooling i + 1.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

import timm
import torch
from torch import Tensor, nn

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone, Features, Trunk
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.efficientnet import STAGES, EfficientNetTrunk, is_efficientnet, set_padding
from csflow.toolkit.backbones.int8.quantized import quantize_trunk
from csflow.toolkit.backbones.patches import PatchTrunk

__all__ = ["StagesTrunk", "build_backbone", "counts_blocks", "resolve_name"]


class StagesTrunk(Trunk):
    """The first stages of a network of timm. Its parameters have timm's names after 'cut.'."""

    def __init__(self, network: nn.Module, stages: tuple[int, ...]) -> None:
        super().__init__()
        self.cut = network
        self.stages = stages

    def forward(self, x: Tensor) -> Features:
        """Map (N, 3, S, S), normalised, to one (N, C, h, w) tensor per stage that is read."""
        return self._intermediates(x, self.stages)

    def at_stage(self, x: Tensor, stage: int) -> Tensor:
        """The output of one stage; later ones are not run."""
        return self._intermediates(x, (stage,))[0]

    def _intermediates(self, x: Tensor, stages: tuple[int, ...]) -> Features:
        read: Any = self.cut.forward_intermediates
        return tuple(read(x, indices=list(stages), stop_early=True, intermediates_only=True))


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone with untrained weights; load them with `csflow.toolkit.backbones.weights`.

    Raises ConfigError for a name that timm lacks or that gives no feature maps, a stage it lacks, or a padding or
    precision that is not defined for it.
    """
    probe = _probe(config.name)
    if is_efficientnet(probe):
        if config.stages[-1] >= STAGES:
            raise ConfigError(_no_stage(config, STAGES))
        trunk = EfficientNetTrunk(timm.create_model(config.name, pretrained=False), config.stages)
        if config.padding != "timm":
            set_padding(trunk, config)
        return _backbone(trunk, config)
    if config.padding != "timm":
        raise ConfigError(
            f"padding {config.padding!r} is defined for EfficientNets, not for {config.name!r}: leave it out"
        )
    return _backbone(StagesTrunk(_cut(probe, config), config.stages), config)


def _backbone(trunk: Trunk, config: BackboneConfig) -> Backbone:
    if config.precision == "int8":
        quantize_trunk(trunk, config.wide)
    if config.patches:
        trunk = PatchTrunk(trunk, config.patches, config.stages, config.embedding)
    return Backbone(trunk, config)


def resolve_name(name: str) -> BackboneConfig:
    """The configuration of a network of timm: its full name with tag, and the mean and std its weights expect.

    Raises ConfigError as `build_backbone` does.
    """
    _probe(name)
    pretrained = timm.models.get_pretrained_cfg(name)
    if pretrained is None:
        return BackboneConfig(name)
    full = f"{pretrained.architecture}.{pretrained.tag}" if pretrained.tag else name
    mean, std = (tuple(float(v) for v in values) for values in (pretrained.mean, pretrained.std))
    if len(mean) != 3 or len(std) != 3:
        raise ConfigError(f"{name!r} takes no RGB pictures: choose tf_efficientnet_b5")
    return BackboneConfig(full, mean=mean, std=std)


def counts_blocks(name: str) -> bool:
    """Whether the stages of this network are those of an EfficientNet. Raises ConfigError as `build_backbone` does."""
    return is_efficientnet(_probe(name))


def _probe(name: str) -> nn.Module:
    """The network on the meta device."""
    if not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name):
        raise ConfigError(f"{name!r} is no name of a timm network: expected for example tf_efficientnet_b5.aa_in1k")
    try:
        with torch.device("meta"):
            network: nn.Module = timm.create_model(name, pretrained=False)
    except (RuntimeError, ValueError) as error:
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), 5, 0.5)
        raise ConfigError(
            f"timm cannot make a backbone {name!r} ({error}); try one of: {', '.join(close) or 'tf_efficientnet_b5'}"
        ) from None
    maps = all(hasattr(network, needed) for needed in ("forward_intermediates", "prune_intermediate_layers"))
    if not (maps or is_efficientnet(network)):
        raise ConfigError(f"{name!r} gives no feature maps: choose for example tf_efficientnet_b5 or wide_resnet50_2")
    return network


def _cut(probe: nn.Module, config: BackboneConfig) -> nn.Module:
    """The network without what lies behind its last stage; its weights are 0 where none are drawn at random."""
    persistent = {*probe.state_dict(), *(name for name, _ in probe.named_parameters())}
    network = probe
    if any(name not in persistent for name, _ in probe.named_buffers()):
        # Constants that no file of weights holds are made together with the weights.
        network = timm.create_model(config.name, pretrained=False)
    prune: Any = network.prune_intermediate_layers
    try:
        prune(list(config.stages))
    except (AssertionError, IndexError):
        raise ConfigError(_no_stage(config, _stages(probe))) from None
    if network is probe:
        network.to_empty(device="cpu")
        for tensor in network.state_dict().values():
            tensor.zero_()
    return network


def _stages(network: nn.Module) -> int:
    info: Any = network.feature_info
    return len(info)


def _no_stage(config: BackboneConfig, count: int) -> str:
    return f"{config.name} has the stages 0 to {count - 1}, not {config.stages[-1]}: choose among them"
