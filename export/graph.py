"""The two graphs that are exported, as torch modules with the names and types of their inputs and outputs.

    backbone   frame uint8 (N, S, S, 3) RGB              ->  features_0 … features_k float32 (N, C, h_i, w_i)
    flow       features_0 … features_k                   ->  score float32 (N,), anomaly_map float32 (N, h, w)

Normalisation, image pyramid, standardisation, coupling blocks and scoring lie inside, so that every runtime
computes the same numbers by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from csflow.toolkit.backbone import Backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.flow import CrossScaleFlow, anomaly_map, score

__all__ = ["FlowGraph", "Graph", "backbone_graph", "flow_graph"]


class FlowGraph(nn.Module):
    """The flow with score and map instead of latents; the log-determinant is not computed in the graph."""

    def __init__(self, flow: CrossScaleFlow, definition: str) -> None:
        super().__init__()
        self.flow = flow
        self.definition = definition

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, h_i, w_i) to score (N,) and anomaly map (N, h, w)."""
        z, _ = self.flow(features)
        return score(z), anomaly_map(z, self.definition)


@dataclass(frozen=True)
class Graph:
    """A module ready for export."""

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    """Inputs of batch 2 (an exporter takes a batch of 1 for a constant)."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def backbone_graph(backbone: Backbone, config: ModelConfig) -> Graph:
    """The backbone graph: uint8 frames to features."""
    side = config.image_size
    example = (torch.zeros(2, side, side, 3, dtype=torch.uint8),)
    return Graph("backbone", backbone, example, ("frame",), _feature_names(config))


def flow_graph(flow: CrossScaleFlow, config: ModelConfig, definition: str = "scale0-mean-z2") -> Graph:
    """The flow graph: features to score and map, the latter by its name in the manifest."""
    example = tuple(torch.zeros(2, *shape) for shape in config.feature_shapes)
    return Graph("flow", FlowGraph(flow, definition), example, _feature_names(config), ("score", "anomaly_map"))


def _feature_names(config: ModelConfig) -> tuple[str, ...]:
    return tuple(f"features_{i}" for i in range(config.flow.scales))
