"""The graphs of every method: a new one is a module that makes its head's graph, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from csflow.export.graphs.backbone import BACKBONE_FOLDS, InferenceBackbone
from csflow.export.graphs.graph import Graph, backbone_graph
from csflow.export.graphs.heads.combined import combined_graphs
from csflow.export.graphs.heads.flow.graph import flow_graph, flow_savings
from csflow.export.graphs.heads.glad import glad_graph
from csflow.export.graphs.heads.mahalanobis import mahalanobis_graph
from csflow.export.graphs.heads.nearest import nearest_graph
from csflow.export.graphs.heads.padim import padim_graph
from csflow.export.graphs.heads.patches import patches_graph
from csflow.toolkit.backbones.cost import Saving, measured
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.combined import CombinedConfig, CombinedHead
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.table import method_named
from csflow.toolkit.model import Model

__all__ = ["fold_savings", "model_graphs"]


@dataclass(frozen=True)
class _Exporter:
    """How a head becomes a graph."""

    graph: Callable[[Any, Shapes, str], Graph]
    """(head, shapes of the features, precision) to the graph; the head is left as it is."""
    savings: Callable[[Any, Shapes], list[Saving]] | None = None
    """(configuration of the head, shapes) to what its folds save; None where there is nothing to fold."""


EXPORTERS: Mapping[str, _Exporter] = {
    "cs-flow": _Exporter(flow_graph, flow_savings),
    "glad": _Exporter(glad_graph),
    "mahalanobis": _Exporter(mahalanobis_graph),
    "nearest": _Exporter(nearest_graph),
    "padim": _Exporter(padim_graph),
    "patches": _Exporter(patches_graph),
}


def model_graphs(model: Model, precision: str = "fp32") -> tuple[Graph, ...]:
    """The graphs of a model in running order; raises ConfigError for a precision that there is not."""
    backbone = backbone_graph(model.backbone, model.config.image_size, precision)
    if isinstance(model.head, CombinedHead):
        graphs = {name: exporter.graph for name, exporter in EXPORTERS.items()}
        return backbone, *combined_graphs(model.head, model.shapes, precision, graphs)
    return backbone, EXPORTERS[model.config.method].graph(model.head, model.shapes, precision)


def fold_savings(config: ModelConfig) -> list[Saving]:
    """What each fold saves, per frame, in models of this size; no weights are read."""
    trained = build_backbone(config.backbone)
    frame = torch.empty(1, config.image_size, config.image_size, 3, dtype=torch.uint8, device="meta")
    savings = measured("backbone", InferenceBackbone(trained, config.image_size), (frame,), BACKBONE_FOLDS)
    shapes = trained.shapes(config.image_size)
    if not isinstance(config.head, CombinedConfig):
        return savings + _head_savings(config.method, config.head, shapes)
    with torch.device("meta"):
        head = method_named(config.method).head(config.head, shapes)
    assert isinstance(head, CombinedHead)
    for member, part in zip(config.head.members, head.heads, strict=True):
        savings += _head_savings(member.method, part.config, tuple(shapes[i] for i in member.features))
    return savings


def _head_savings(method: str, config: Any, shapes: Shapes) -> list[Saving]:
    savings = EXPORTERS[method].savings
    return [] if savings is None else savings(config, shapes)
