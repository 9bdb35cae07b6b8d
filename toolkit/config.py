"""Configuration of model and training: frozen, documented field by field, read strictly.

The defaults are the settings of the CS-Flow paper (Rudolph et al., WACV 2022) and, where paper and
reference code (marco-rudolph/cs-flow) differ, of the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from csflow.runtime import schema
from csflow.runtime.errors import BundleCorrupted, ConfigError

__all__ = ["PADDINGS", "STRIDE", "BackboneConfig", "FlowConfig", "ModelConfig", "TrainConfig", "checked"]

STRIDE = 32
"""Pixels of the input per position of a feature map, for every EfficientNet after the stage that CS-Flow reads."""
PADDINGS = ("timm", "tf_same", "symmetric", "lm071")
"""Padding conventions of the backbone; `BackboneConfig.padding` tells them apart."""


@dataclass(frozen=True)
class BackboneConfig:
    """The frozen feature extractor."""

    name: str = "tf_efficientnet_b5.aa_in1k"
    """timm name of an EfficientNet. Default: the ImageNet weights with AutoAugment that the reference code loads."""
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

    def __post_init__(self) -> None:
        if not 1 <= self.scales <= 6:
            raise ValueError("scales must be 1 to 6")
        if min(self.std) <= 0.0:
            raise ValueError("std must be positive")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}")


@dataclass(frozen=True)
class FlowConfig:
    """The cross-scale normalizing flow."""

    channels: int = 304
    """Channels of each feature map; even."""
    scales: int = 3
    """Number of feature maps."""
    kernel_sizes: tuple[int, ...] = (3, 3, 3, 5)
    """Kernel of the convolutions in each coupling block; as many blocks as entries."""
    hidden: int = 1024
    """Width inside the sub-networks."""
    clamp: float = 3.0
    """alpha: the log of a coupling's factor lies within ± alpha · 0.636 · π/2."""
    slope: float = 0.1
    """Negative slope of the LeakyReLU."""
    standardise: bool = True
    """First layer: per-channel affine map to mean 0, variance 1 over the training images (not in the paper)."""

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise ValueError("channels must be even and at least 2")
        if not 1 <= self.scales <= 6:
            raise ValueError("scales must be 1 to 6")
        if not self.kernel_sizes or any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError("kernel_sizes must be odd numbers, at least one")
        if self.hidden < 1 or not (math.isfinite(self.clamp) and self.clamp > 0.0):
            raise ValueError("hidden and clamp must be positive")


@dataclass(frozen=True)
class ModelConfig:
    """Backbone, flow and input size."""

    image_size: int = 768
    """Side of the square input in pixels; a multiple of 32 · 2^(scales-1), so that every scale has whole maps."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        step = STRIDE << (self.backbone.scales - 1)
        if self.image_size < step or self.image_size % step:
            raise ValueError(
                f"image_size must be a multiple of {step} for {self.backbone.scales} scales, got {self.image_size}"
            )
        if self.backbone.scales != self.flow.scales:
            raise ValueError("backbone and flow must have the same number of scales")

    @property
    def feature_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, h, w) of each scale."""
        sides = [self.image_size // (STRIDE << i) for i in range(self.flow.scales)]
        return tuple((self.flow.channels, side, side) for side in sides)

    @classmethod
    def from_bundle(cls, model: dict[str, Any]) -> ModelConfig:
        """Read the model section of a manifest; raises BundleCorrupted where it does not fit."""
        try:
            return schema.from_mapping(cls, model, "model")
        except schema.SchemaError as error:
            raise BundleCorrupted(f"manifest.json: {error}") from None


@dataclass(frozen=True)
class TrainConfig:
    """How the flow is trained."""

    epochs: int = 240
    """Passes over the training images (reference: 4 meta epochs of 60; 60 in all on MTD)."""
    batch_size: int = 16
    learning_rate: float = 2e-4
    schedule: str = "constant"
    """'constant' as in the reference, or 'cosine': warm up over 5 % of the steps, then fall to zero along a cosine."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's betas. The paper states (0.5, 0.9), the reference code passes none."""
    eps: float = 1e-4
    weight_decay: float = 1e-5
    """L2 on every parameter."""
    feature_noise: float = 0.0
    """Standard deviation of the normal noise added to every feature in training, in units of its channel's own; 0 as
    in the reference. It keeps few pictures from being learnt by heart."""
    max_grad_norm: float = 1.0
    """Global norm that gradients are clipped to."""
    seed: int = 0
    """Seeds the initial weights and the order of the images."""
    autocast: bool = True
    """Run convolutions in bfloat16 where the processor has instructions for it (CUDA: always)."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1:
            raise ValueError("epochs and batch_size must be at least 1")
        numbers = (self.learning_rate, self.eps, self.max_grad_norm, self.weight_decay, self.feature_noise)
        if not all(math.isfinite(n) for n in numbers) or min(numbers[:3]) <= 0.0 or min(numbers[3:]) < 0.0:
            raise ValueError(
                "learning_rate, eps and max_grad_norm must be positive, weight_decay and feature_noise not negative"
            )
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError("betas must lie in 0..1")
        if self.schedule not in ("constant", "cosine"):
            raise ValueError("schedule must be 'constant' or 'cosine'")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError("seed must lie in 0..2^32-1")


def checked(build: Any, *args: Any, **values: Any) -> Any:
    """Call a configuration class; a value out of range comes out as ConfigError."""
    try:
        return build(*args, **values)
    except ValueError as error:
        raise ConfigError(f"{error}") from None
