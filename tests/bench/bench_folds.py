"""What the folds change: times of folded and unfolded graphs in OpenVINO, in one run, for docs/benchmarks.md.

And what a fold that is not made could save: the share of each kind of operator in the folded flow, of which the
channel permutations are the Gathers and what splits and joins around them.

Weights are random: times do not depend on training. Taken is the processor time of one thread, and the graphs take
turns, so that other work on the machine disturbs little and all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version

import click
import numpy as np
import openvino
import torch
from torch import Tensor, nn

from csflow.export.graphs.graph import Graph, backbone_graph
from csflow.export.graphs.heads.flow.fold import flow_folds
from csflow.export.graphs.heads.flow.folded import InferenceFlow
from csflow.export.graphs.heads.flow.graph import flow_graph
from csflow.export.graphs.onnx_export import to_onnx
from csflow.runtime.engines.openvino.core import new_core
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.networks import build_backbone, resolve_name
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead, anomaly_map, score
from csflow.toolkit.methods.flow.method import CSFlow
from csflow.toolkit.methods.method import Shapes

HINTS = ("f32", "bf16")


class Unfolded(nn.Module):
    """The trained flow with score and map, as csflow exported it before it had folds."""

    def __init__(self, flow: CrossScaleFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        z, _ = self.flow(features)
        return score(z), anomaly_map(z)


def backbones(trained: Backbone, image_size: int) -> Iterator[tuple[str, Graph]]:
    """The backbone's graphs."""
    folded = backbone_graph(trained, image_size)
    yield "backbone, unfolded", Graph("backbone", trained, folded.example, folded.inputs, folded.outputs)
    yield "backbone, folded", folded


def flows(config: FlowConfig, shapes: Shapes) -> Iterator[tuple[str, Graph]]:
    """The flow's graphs, gamma away from 0."""
    flow = CrossScaleFlow(config).eval().requires_grad_(False)
    for name, parameter in flow.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(0.1)
    partly = InferenceFlow(flow, "scale0-mean-z2")
    for fold in list(flow_folds([side for _, side, _ in shapes]).values())[:-1]:
        fold(partly)
    folded = flow_graph(FlowHead(flow), shapes)
    yield "flow, unfolded", Graph("flow", Unfolded(flow), folded.example, folded.inputs, folded.outputs)
    yield "flow, folded but enlarging first", Graph("flow", partly, folded.example, folded.inputs, folded.outputs)
    yield "flow, folded", folded


def requests(graph: Graph, profiled: bool = False) -> dict[str, openvino.InferRequest]:
    """The graph compiled at batch 1, by precision hint, with random inputs set."""
    core = new_core()
    model = core.read_model(to_onnx(graph))
    model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
    found = {}
    for hint in HINTS:
        config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "PERF_COUNT": profiled}
        request = core.compile_model(model, "CPU", config).create_infer_request()
        for name, example in zip(graph.inputs, graph.example, strict=True):
            request.set_tensor(name, openvino.Tensor(noise(example)))
        found[hint] = request
    return found


def noise(like: Tensor) -> np.ndarray:
    """Random values of one sample."""
    generator = np.random.default_rng(0)
    if like.dtype is torch.uint8:
        return generator.integers(0, 256, (1, *like.shape[1:]), dtype=np.uint8)
    return generator.standard_normal((1, *like.shape[1:]), dtype=np.float32)


def operator_shares(request: openvino.InferRequest, rounds: int) -> dict[str, float]:
    """Of each kind of operator, by the least time of each node in `rounds` runs; the greatest first."""
    least: dict[str, tuple[str, float]] = {}
    for _ in range(rounds):
        request.infer()
        for node in request.profiling_info:
            seconds = node.real_time.total_seconds()
            least[node.node_name] = (node.node_type, min(seconds, least.get(node.node_name, ("", seconds))[1]))
    sums: dict[str, float] = {}
    for kind, seconds in least.values():
        sums[kind] = sums.get(kind, 0.0) + seconds
    total = sum(sums.values())
    return {kind: sums[kind] / total for kind in sorted(sums, key=lambda kind: -sums[kind])}


@click.command()
@click.option("--backbone", default="tf_efficientnet_b5", show_default=True)
@click.option("--image-size", default=768, show_default=True)
@click.option("--hidden", default=1024, show_default=True)
@click.option("--part", type=click.Choice(["backbone", "flow"]), multiple=True, default=("backbone", "flow"))
@click.option("--rounds", default=10, show_default=True)
def bench(backbone: str, image_size: int, hidden: int, part: tuple[str, ...], rounds: int) -> None:
    """Time the graphs in turn; prints the fastest and the median of ROUNDS, and ratios of the fastest."""
    named = resolve_name(backbone)
    trained = build_backbone(named)
    shapes = trained.shapes(image_size)
    config = CSFlow().settle(FlowConfig(hidden=hidden), shapes)
    parts = {"backbone": partial(backbones, trained, image_size), "flow": partial(flows, config, shapes)}
    click.echo(f"{backbone}, {image_size} px, hidden {hidden}, openvino {version('openvino')}\n")
    click.echo("| graph | precision | fastest s | median s | of unfolded |\n|---|---|---|---|---|")
    for graphs in (parts[name] for name in part):
        compiled = {(name, hint): r for name, graph in graphs() for hint, r in requests(graph).items()}
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in compiled}
        for _ in range(rounds + 1):
            for key, request in compiled.items():
                start = time.process_time()
                request.infer()
                seconds[key].append(time.process_time() - start)
        fastest = {key: min(times[1:]) for key, times in seconds.items()}
        for (name, hint), best in fastest.items():
            ratio = best / next(s for (_, h), s in fastest.items() if h == hint)
            median = np.median(seconds[name, hint][1:])
            click.echo(f"| {name} | {hint} | {best:.4f} | {median:.4f} | {ratio:.2f} |")
    if "flow" in part:
        *_, (name, folded) = flows(config, shapes)
        for hint, request in requests(folded, profiled=True).items():
            shares = operator_shares(request, rounds)
            listed = ", ".join(f"{kind} {share:.2%}" for kind, share in shares.items() if share >= 1e-4)
            click.echo(f"\n{name}, {hint}: {listed}")


if __name__ == "__main__":
    bench()
