"""What is read from a file of another code base, before it becomes a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow

__all__ = ["ForeignModel", "Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """What anomalib stored beside the weights; NaN where it did not. Raw units, as its inner model scores."""

    image: float = math.nan
    """Score above which anomalib calls a picture anomalous, in units of mean z²/2."""
    pixel: float = math.nan
    """Value of the map above which it calls a pixel anomalous."""
    low: float = math.nan
    """Minimum that it normalises image scores with."""
    high: float = math.nan
    """Maximum that it normalises image scores with."""

    def raw(self, shown: float) -> float:
        """The raw score behind a normalised one; anomalib shows (raw - threshold) / (high - low) + 0.5, cut to 0..1."""
        return self.image + (shown - 0.5) * (self.high - self.low)

    def lines(self) -> list[str]:
        """The thresholds in words, for the user who compares."""
        said = []
        if math.isfinite(self.image):
            said.append(f"anomalib's image threshold is {self.image:.6g} in raw score units (mean z²/2)")
        if math.isfinite(self.pixel):
            said.append(f"anomalib's pixel threshold is {self.pixel:.6g} in raw units of its map")
        if math.isfinite(self.raw(0.0)):
            said.append(f"its normalised scores 0 .. 1 are raw scores {self.raw(0.0):.6g} .. {self.raw(1.0):.6g}")
        return said


@dataclass(frozen=True)
class ForeignModel:
    """A flow as its origin trained it, and what the file says about its surroundings."""

    origin: str
    """'reference', 'anomalib-0.x' or 'anomalib-1.x' (1.0 and later)."""
    flow: CrossScaleFlow
    permutations: str
    """How they were found: 'legacy', 'modern' or 'own', and whether 'stored' or 'drawn'."""
    anomaly_map: str
    """The origin's definition of its map, a name of the manifest."""
    padding: str | None
    """Padding convention of the origin's backbone; None where the file cannot tell."""
    image_size: int | None
    """Side of the model input in pixels; None where the file cannot tell."""
    resize: str
    """How the origin resized pictures."""
    backbone: Mapping[str, Tensor] | None = None
    """Backbone weights in torchvision's names, where the file holds them."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    mean: tuple[float, float, float] | None = BackboneConfig.mean
    """Subtracted from RGB in 0..1 there, per channel; None where the file cannot tell."""
    std: tuple[float, float, float] | None = BackboneConfig.std
    """Divides after the mean."""
    said: tuple[str, ...] = ()
    """Where in the file its settings were found, in words."""
