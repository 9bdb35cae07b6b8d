"""TensorRT for RTX takes the half-precision graphs of every method, and of the networks that the papers read."""

from dataclasses import replace
from pathlib import Path

import pytest

from csflow.export.graphs.graph import backbone_graph
from csflow.export.graphs.onnx_export import to_onnx
from csflow.export.plans.graph_products import graph_products
from csflow.export.plans.plan import build_plan
from csflow.export.plans.precision_audit import audit_plan
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.toolkit.backbones.networks import build_backbone, resolve_name


def test_every_graph_behind_the_backbone_becomes_a_plan(rtx: Library, method_bundle: Path) -> None:
    bundle = Bundle.open(method_bundle)
    for name in bundle.manifest.graphs[1:]:
        graph = bundle.read(f"graphs/fp16/{name}.onnx")
        built = build_plan(rtx, name, graph, BuildOptions(), lambda *_: None)
        assert len(built.data) > 0
        audit_plan(graph_products(graph, name), built.layers, built.source, name)


@pytest.mark.parametrize(
    ("name", "stages", "patches", "size"),
    [
        ("vgg16.tv_in1k", (1,), (), 32),
        ("vgg16.tv_in1k", (1, 2), ((16, 16), (32, 32)), 64),
        ("wide_resnet50_2.tv_in1k", (1,), (), 32),
        pytest.param("wide_resnet50_2.tv_in1k", (1, 2, 3), (), 64, marks=pytest.mark.soak),
        pytest.param("vgg16.tv_in1k", (1, 2, 4), ((16, 8), (32, 8), (64, 32)), 128, marks=pytest.mark.soak),
    ],
)
def test_the_papers_networks_become_plans(
    rtx: Library, name: str, stages: tuple[int, ...], patches: tuple[tuple[int, int], ...], size: int
) -> None:
    backbone = build_backbone(replace(resolve_name(name), scales=1, stages=stages, patches=patches))
    graph = to_onnx(backbone_graph(backbone.eval(), size, "fp16"))
    assert len(build_plan(rtx, "backbone", graph, BuildOptions(), lambda *_: None).data) > 0
