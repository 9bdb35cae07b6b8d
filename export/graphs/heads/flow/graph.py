"""The flow graph: features of every scale to score and anomaly map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, head_graph
from csflow.export.graphs.heads.flow.fold import flow_folds, fold_flow
from csflow.export.graphs.heads.flow.folded import InferenceFlow
from csflow.export.graphs.heads.flow.typed import halve_flow
from csflow.toolkit.backbones.cost import Saving, cost, measured
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead, anomaly_map, score
from csflow.toolkit.methods.method import Shapes

__all__ = ["flow_graph", "flow_savings"]


def flow_graph(head: FlowHead, shapes: Shapes, precision: str = "fp32") -> Graph:
    """Folded, and with its sub-networks in float16 where the precision says so; `head` is left as it is."""
    folded = fold_flow(head.flow, _sides(shapes), head.config.anomaly_map)
    return head_graph("flow", halve_flow(folded) if precision == "fp16" else folded, shapes, precision)


def flow_savings(config: FlowConfig, shapes: Shapes) -> list[Saving]:
    """What each fold saves, per frame; no weights are read. The first compares with the flow as training runs it."""
    features = tuple(torch.empty(1, *shape, device="meta") for shape in shapes)
    with torch.device("meta"):
        whole = CrossScaleFlow(config)
    flow = InferenceFlow(whole, "scale0-mean-z2")
    before = cost(_Scored(whole), features)
    rewritten = Saving("flow", "no log-determinant, one clip", before - cost(flow, features), before)
    return [rewritten, *measured("flow", flow, features, flow_folds(_sides(shapes)))]


def _sides(shapes: Shapes) -> Sequence[int]:
    return [side for _, side, _ in shapes]


class _Scored(nn.Module):
    """The flow as it was trained, with score and map."""

    def __init__(self, flow: CrossScaleFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, log_det = self.flow(features)
        return score(z), anomaly_map(z), log_det
