"""The trained model inside a bundle: weights/backbone.safetensors and weights/flow.safetensors."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted
from csflow.toolkit.backbones.efficientnet import Backbone, build_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow

__all__ = ["BACKBONE", "FLOW", "load_model", "weight_files"]

BACKBONE = "weights/backbone.safetensors"
FLOW = "weights/flow.safetensors"


def weight_files(backbone: Backbone, flow: CrossScaleFlow) -> dict[str, bytes]:
    """The two weight files; permutations and feature statistics are buffers and travel with the flow."""
    return {BACKBONE: _serialise(backbone.trunk), FLOW: _serialise(flow)}


def load_model(bundle: Bundle) -> tuple[Backbone, CrossScaleFlow, ModelConfig]:
    """The trained backbone and flow, float32, on the CPU, in evaluation mode.

    Raises BundleError or BundleCorrupted when weights are missing, changed, or do not fit the configuration.
    """
    config = ModelConfig.from_bundle(bundle.manifest.model)
    backbone = build_backbone(config.backbone)
    with torch.device("meta"):
        flow = CrossScaleFlow(config.flow)
    _fill(backbone.trunk, bundle, BACKBONE)
    _fill(flow, bundle, FLOW)
    flow.requires_grad_(False)
    return backbone, flow.eval(), config


def _serialise(module: nn.Module) -> bytes:
    data: bytes = save({name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()})
    return data


def _fill(module: nn.Module, bundle: Bundle, name: str) -> None:
    try:
        module.load_state_dict(load(bundle.read(name)), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise BundleCorrupted(
            f"{bundle.path / name} does not fit the model that manifest.json describes ({str(error).splitlines()[0]}): "
            "train again"
        ) from None
