"""The two graphs that are exported, as torch modules with the names and types of their inputs and outputs.

    backbone   frame uint8 (N, S, S, 3) RGB              ->  features_0 … features_k (N, C, h_i, w_i)
    flow       features_0 … features_k                   ->  score float32 (N,), anomaly_map float32 (N, h, w)

Features are float32 in the graphs of precision 'fp32' and float16 in those of 'fp16'. Normalisation, image pyramid,
standardisation, coupling blocks and scoring lie inside, so that every runtime computes the same numbers by
construction. Both graphs are folded (`csflow.export.graphs.flow.fold`) from copies of the trained modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from csflow.export.graphs.flow.fold import fold_backbone, fold_flow
from csflow.export.graphs.flow.typed import halve_backbone, halve_flow
from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.efficientnet import Backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow

__all__ = ["PRECISIONS", "Graph", "backbone_graph", "flow_graph"]

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
"""Name of a precision, and the type of the features between its graphs."""


@dataclass(frozen=True)
class Graph:
    """A module ready for export."""

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    """Inputs of batch 2 (an exporter takes a batch of 1 for a constant)."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def backbone_graph(backbone: Backbone, config: ModelConfig, precision: str = "fp32") -> Graph:
    """The backbone graph, uint8 frames to features; raises ConfigError for a precision not in `PRECISIONS`."""
    half = _features_type(precision) is torch.float16
    folded = fold_backbone(backbone, pixel_scale=not half)
    side = config.image_size
    example = (torch.zeros(2, side, side, 3, dtype=torch.uint8),)
    module = halve_backbone(folded) if half else folded
    return Graph("backbone", module, example, ("frame",), _feature_names(config))


def flow_graph(
    flow: CrossScaleFlow, config: ModelConfig, definition: str = "scale0-mean-z2", precision: str = "fp32"
) -> Graph:
    """The flow graph: features to score and map, the latter by its name in the manifest.

    Raises ConfigError for a precision not in `PRECISIONS`.
    """
    dtype = _features_type(precision)
    folded = fold_flow(flow, config, definition)
    example = tuple(torch.zeros(2, *shape, dtype=dtype) for shape in config.feature_shapes)
    module = halve_flow(folded) if dtype is torch.float16 else folded
    return Graph("flow", module, example, _feature_names(config), ("score", "anomaly_map"))


def _features_type(precision: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; choose one of: {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def _feature_names(config: ModelConfig) -> tuple[str, ...]:
    return tuple(f"features_{i}" for i in range(config.flow.scales))
