"""A trained model: backbone, head and configuration, inside a bundle as weights/<graph>.safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, canonical
from csflow.runtime.errors import BundleCorrupted
from csflow.runtime.types import Prediction
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.config import BACKBONE, ModelConfig
from csflow.toolkit.methods.ignored import make_room
from csflow.toolkit.methods.method import Head, Judge, Shapes
from csflow.toolkit.methods.table import method_named
from csflow.toolkit.origin import origin
from csflow.toolkit.tensor_file import misfit

__all__ = ["Model", "weights_file"]


@dataclass(frozen=True)
class Model:
    """What the torch engine, the golden frames and the decision gate know of a method."""

    backbone: Backbone
    head: Head
    config: ModelConfig

    @classmethod
    def load(cls, bundle: Bundle) -> Model:
        """The trained model, float32, on the CPU, in evaluation mode.

        Raises BundleError or BundleCorrupted when weights are missing, changed, or do not fit the configuration.
        """
        config = ModelConfig.from_manifest(bundle.manifest)
        backbone = build_backbone(config.backbone)
        _fill(backbone.trunk, bundle, BACKBONE)
        try:
            with torch.device("meta"):
                head = method_named(config.method).head(config.head, backbone.shapes(config.image_size))
        except ValueError as error:
            raise BundleCorrupted(f"{bundle.path}: manifest.json: {error}; train again") from None
        model = cls(backbone, head.requires_grad_(False).eval(), config)
        for graph, part in model._parts.items():
            # Format 1 stored the flow's tensors without the name of the module that holds them.
            _fill(part, bundle, graph, "flow." if bundle.manifest.format_version == 1 else "")
        return model

    @property
    def method(self) -> Judge:
        """What the head belongs to."""
        return method_named(self.config.method)

    @property
    def definitions(self) -> Definitions:
        """What its score and its map are, in words."""
        return self.head.definitions or self.method.definitions

    @property
    def graphs(self) -> tuple[str, ...]:
        """The names of its graphs in running order, as the manifest lists them."""
        return BACKBONE, *self._parts

    @property
    def shapes(self) -> Shapes:
        """(C, h, w) of each feature map between backbone and head."""
        return self.backbone.shapes(self.config.image_size)

    def to(self, device: torch.device) -> Model:
        """The same model; its modules are moved to `device`."""
        self.backbone.to(device)
        self.head.to(device)
        return self

    def weight_files(self, provenance: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """weights/backbone.safetensors and the head's; all that a head knows is in its state_dict.

        Their metadata hold one key, `csflow`: what `origin` tells, as JSON.

        Args:
            provenance: of the manifest, for what the backbone's weights say about themselves.
        """
        modules = {BACKBONE: self.backbone.trunk, **self._parts}
        return {
            weights_file(graph): _serialise(module, origin(graph, self.config, provenance or {}))
            for graph, module in modules.items()
        }

    @property
    def _parts(self) -> Mapping[str, nn.Module]:
        return self.head.parts or {self.method.graph: self.head}

    @torch.inference_mode()
    def predict(self, batch: Tensor) -> list[Prediction]:
        """Predictions for frames (N, S, S, 3) uint8 RGB, wherever they lie."""
        scores, maps = self.head(*self.backbone(batch.to(self.backbone.get_buffer("mean").device)))
        pictures = maps.cpu().numpy()
        pairs = zip(scores.double().cpu(), pictures, strict=True)
        return [Prediction(float(s), np.ascontiguousarray(m)) for s, m in pairs]


def weights_file(graph: str) -> str:
    """The weights of a graph inside a bundle."""
    return f"weights/{graph}.safetensors"


def _serialise(module: nn.Module, facts: Mapping[str, str]) -> bytes:
    tensors = {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    # Several keys would be written in an order that changes from call to call, and a model's identity with it.
    data: bytes = save(tensors, {"csflow": canonical(facts)})
    return data


def _fill(module: nn.Module, bundle: Bundle, graph: str, prefix: str = "") -> None:
    name = weights_file(graph)
    try:
        state = {prefix + key: tensor for key, tensor in load(bundle.read(name)).items()}
    except SafetensorError:
        raise BundleCorrupted(f"{bundle.path / name} holds no tensors that can be read: train again") from None
    make_room(module, state)
    if wrong := misfit(module.state_dict(), state):
        raise BundleCorrupted(
            f"{bundle.path / name} does not fit the model that manifest.json describes ({wrong}): "
            "copy the bundle again, or train again"
        )
    module.load_state_dict(state, assign=True)
