"""A graph that is exported: a torch module with the names and types of its inputs and outputs.

    backbone   frame uint8 (N, S, S, 3) RGB              ->  features_0 … features_k (N, C_i, h_i, w_i)
    head       features_0 … features_k                   ->  score float32 (N,), anomaly_map float32 (N, h, w)

Features are float32 in the graphs of precision 'fp32' and float16 in those of 'fp16'. Normalisation, image scales,
the head and its scoring lie inside, so that every runtime computes the same numbers by construction. Graphs are made
from copies of the trained modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from csflow.export.graphs.backbone import fold_backbone, halve_backbone
from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.methods.method import Shapes

__all__ = ["PRECISIONS", "Graph", "backbone_graph", "head_graph"]

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


def backbone_graph(backbone: Backbone, image_size: int, precision: str = "fp32") -> Graph:
    """The backbone graph, uint8 frames to features; raises ConfigError for a precision not in `PRECISIONS`."""
    half = _features_type(precision) is torch.float16
    folded = fold_backbone(backbone, image_size, pixel_scale=not half)
    example = (torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8),)
    names = _feature_names(len(backbone.config.stages) * backbone.config.scales)
    return Graph("backbone", halve_backbone(folded) if half else folded, example, ("frame",), names)


def head_graph(name: str, module: nn.Module, shapes: Shapes, precision: str = "fp32") -> Graph:
    """The graph of a head whose module takes features (N, C_i, h_i, w_i) of this precision.

    Raises ConfigError for a precision not in `PRECISIONS`.
    """
    dtype = _features_type(precision)
    example = tuple(torch.zeros(2, *shape, dtype=dtype) for shape in shapes)
    return Graph(name, module, example, _feature_names(len(shapes)), ("score", "anomaly_map"))


def _features_type(precision: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; choose one of: {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def _feature_names(count: int) -> tuple[str, ...]:
    return tuple(f"features_{i}" for i in range(count))
