"""Configuration of a model: input size, backbone, method and its head, read strictly from manifests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from csflow.runtime import schema
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.errors import BundleCorrupted
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.table import method_named
from csflow.toolkit.options import without_later

__all__ = ["BACKBONE", "ModelConfig"]

BACKBONE = "backbone"
"""Name of the first graph and of its weights, of every method."""
STEP = 32
"""Every network's deepest stage has whole maps for sides that are multiples of it."""


@dataclass(frozen=True)
class ModelConfig:
    """Input size, backbone, and the head of a method."""

    image_size: int = 768
    """Side of the square input in pixels; a multiple of 32 · 2^(scales-1), so that every scale has whole maps."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    method: str = "cs-flow"
    """A name of `csflow.toolkit.methods.table`."""
    head: Any = field(default_factory=FlowConfig)
    """Of the type `config` of that method."""

    def __post_init__(self) -> None:
        step = STEP << (self.backbone.scales - 1)
        if self.image_size < step or self.image_size % step:
            raise ValueError(
                f"image_size must be a multiple of {step} for {self.backbone.scales} scales, got {self.image_size}"
            )

    def to_mapping(self) -> dict[str, Any]:
        """The model section of a manifest, which names the method itself."""
        return {
            "image_size": self.image_size,
            "backbone": self.backbone.to_mapping(),
            "head": without_later(self.head, schema.to_mapping(self.head)),
        }

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> ModelConfig:
        """Read the model section of a manifest; raises BundleCorrupted where it does not fit.

        Format 1 knew one method: its head stands under 'flow', and the kind of its map among the definitions.
        """
        method = method_named(manifest.method)
        section = "head" if manifest.format_version > 1 else "flow"
        rest = {key: value for key, value in manifest.model.items() if key != section}
        try:
            read = schema.from_mapping(_Section, rest, "model")
            head: Any = schema.from_mapping(method.config, manifest.model.get(section, {}), f"model.{section}")
            if manifest.format_version == 1:
                head = dataclasses.replace(head, anomaly_map=manifest.definitions.anomaly_map)
            return cls(read.image_size, read.backbone, method.name, head)
        except ValueError as error:
            raise BundleCorrupted(f"manifest.json: {error}") from None


@dataclass(frozen=True)
class _Section:
    image_size: int = 768
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
