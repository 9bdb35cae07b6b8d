"""Configuration of the frozen feature extractor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from csflow.runtime import schema

__all__ = ["BACKBONE_PRECISIONS", "PADDINGS", "BackboneConfig"]

PADDINGS = ("timm", "tf_same", "symmetric", "lm071")
"""Padding conventions of the backbone; `BackboneConfig.padding` tells them apart."""
BACKBONE_PRECISIONS = ("fp32", "int8")
"""What the backbone computes in as the heads see it, whatever runs them."""

WIDE = 2
"""`BackboneConfig.wide` of a backbone that is rounded today."""

LATER = ("precision", "patches", "embedding", "wide")
"""Fields that older manifests have not: left out where they say what was so then."""


@dataclass(frozen=True)
class BackboneConfig:
    """The frozen feature extractor. Its features are those of every stage at every image scale, scale by scale."""

    name: str = "tf_efficientnet_b5.aa_in1k"
    """timm name of a network with feature maps. Default: the ImageNet weights with AutoAugment that the reference code
    loads."""
    scales: int = 3
    """Number of image scales: 1, 1/2, 1/4, ... by strided slices."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from RGB in 0..1, per channel."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divides after the mean."""
    padding: str = "timm"
    """Zero padding of the stride-2 convolutions, which shifts the features: 'timm' as the named model has it, 'tf_same'
    (right and below; efficientnet_pytorch 0.6), 'symmetric' (torchvision; efficientnet_pytorch 0.7.0), or 'lm071'
    (efficientnet_pytorch 0.7.1: some layers each, as SAME comes out at the size the model was designed for)."""
    stages: tuple[int, ...] = (5,)
    """Stages of the network whose output is read, counted from 0 and rising; 5 of an EfficientNet is what CS-Flow reads
    (block index 35 of B5), and 1 to 3 of a ResNet are its layers 1 to 3."""
    precision: str = "fp32"
    """'int8': rounded to eight bits before anything was fitted to its features, an EfficientNet only
    (`csflow.toolkit.backbones.int8.quantized`)."""

    patches: tuple[tuple[int, int], ...] = ()
    """(size, stride) in pixels of the patches that each stage reads, one a stage, of one image scale; none: the network
    reads whole pictures."""
    embedding: int = 0
    """Numbers that a trained encoder makes of each patch; 0: the mean of the stage's features."""

    wide: int = 1
    """Of an int8 backbone: how many convolutions, from the first, stay finer than eight bits. In bundles that were made
    when weights were rounded each by itself 1, since they are rounded by the error of what comes out 2."""

    def __post_init__(self) -> None:
        if self.wide not in (1, WIDE):
            raise ValueError(f"wide must be 1 or {WIDE}: a newer csflow made this bundle")
        if self.embedding < 0 or (self.embedding and not self.patches):
            raise ValueError("embedding must be at least 0, and needs patches")
        if self.patches and self.precision != "fp32":
            raise ValueError("patches are read in float32: leave the precision of the backbone out")
        if self.patches and (self.scales != 1 or len(self.patches) != len(self.stages)):
            raise ValueError(f"{len(self.patches)} sizes of patches need as many stages, at one scale")
        if any(size < 8 or not 0 < stride <= size for size, stride in self.patches):
            raise ValueError("patches must have a side of at least 8 px, and a stride from 1 to their side")
        if not 1 <= self.scales <= 6:
            raise ValueError("scales must be 1 to 6")
        if min(self.std) <= 0.0:
            raise ValueError("std must be positive")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}")
        if self.precision not in BACKBONE_PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(BACKBONE_PRECISIONS)}")
        if not self.stages or list(self.stages) != sorted({*self.stages}) or self.stages[0] < 0:
            raise ValueError("stages must be rising whole numbers from 0, at least one")

    @property
    def feature_maps(self) -> tuple[tuple[int, int], ...]:
        """(scale, stage) of each feature map, in the order of `Backbone.forward`."""
        return tuple((scale, stage) for scale in range(self.scales) for stage in self.stages)

    def places_in(self, wider: BackboneConfig) -> tuple[int, ...]:
        """Where its feature maps stand among those of a backbone that reads them too."""
        return tuple(map(wider.feature_maps.index, self.feature_maps))

    def reads_like(self, other: BackboneConfig) -> bool:
        """Whether both differ in nothing but the stages and scales that are read."""
        if self.patches or other.patches:
            return self == other
        return dataclasses.replace(self, scales=1, stages=(0,)) == dataclasses.replace(other, scales=1, stages=(0,))

    @classmethod
    def reading_all(cls, configs: Iterable[BackboneConfig]) -> BackboneConfig:
        """One that reads what any of these reads, which differ in nothing else; at least one."""
        listed = list(configs)
        stages = tuple(sorted({stage for config in listed for stage in config.stages}))
        return dataclasses.replace(listed[0], scales=max(config.scales for config in listed), stages=stages)

    def in_precision(self, precision: str) -> BackboneConfig:
        """The same in a precision, rounded as is done today where it was not. Raises ValueError for an unknown one."""
        if precision == self.precision:
            return self
        return dataclasses.replace(self, precision=precision, wide=WIDE if precision == "int8" else 1)

    @property
    def unrounded(self) -> BackboneConfig:
        """The same in float32: what weights are loaded into."""
        return self.in_precision("fp32")

    def to_mapping(self) -> dict[str, Any]:
        """For a manifest. What says no more than older manifests did is left out."""
        mapping: dict[str, Any] = schema.to_mapping(self)
        before = schema.to_mapping(BackboneConfig())
        return {key: v for key, v in mapping.items() if key not in LATER or v != before[key]}
