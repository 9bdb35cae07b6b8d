"""At the paper's settings (B5, 768 px, 1024 hidden) TensorRT for RTX takes both graphs and builds their plans.

Takes minutes and gigabytes, so `make test` leaves it out: `.venv/bin/pytest -m paper -s` runs it and says what it took.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csflow.export.facts.graph_facts import graph_facts
from csflow.export.graphs.methods import model_graphs
from csflow.export.graphs.onnx_export import to_onnx
from csflow.export.plans.engines import build_engines
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_header import read_plan_header
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, plan_path
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead
from csflow.toolkit.model import Model


def graphs() -> dict[str, bytes]:
    """Both graphs in half precision, with random weights and nothing that a fold could drop."""
    config = ModelConfig()
    flow = CrossScaleFlow(config.head).eval().requires_grad_(False)
    for name, parameter in flow.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(0.5)
    model = Model(build_backbone(config.backbone), FlowHead(flow), config)
    return {f"graphs/fp16/{graph.name}.onnx": to_onnx(graph) for graph in model_graphs(model, "fp16")}


@pytest.mark.paper
def test_plans_at_paper_settings(rtx: Library, tmp_path: Path, silent: Callable[[str], Any]) -> None:
    started = time.monotonic()
    manifest = Manifest(Preprocessing(ModelConfig().image_size), Definitions(), {}, {}, {})
    bundle = Bundle.create(tmp_path / "model.csflow", manifest, graphs())
    exported = time.monotonic()
    records = build_engines(bundle, rtx, "fp16", BuildOptions(), silent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\nexport {exported - started:.0f} s, plans {time.monotonic() - exported:.0f} s, peak {peak / 1e9:.1f} GB")
    for record in records:
        header = read_plan_header(plan_path(bundle.path, "tensorrt-rtx", "fp16", record.graph))
        assert (header.version_text, header.compute_capabilities) == (rtx.version, record.compute_capabilities)
        assert "FLOAT" not in graph_facts(bundle.path / f"graphs/fp16/{record.graph}.onnx").convolutions
        assert record.audit.source == "build log"
        assert record.audit.half_in_graph >= 0.99
        assert record.audit.half_in_plan == pytest.approx(record.audit.half_in_graph, abs=0.01)
    assert peak < 12e9
    # pytest keeps folders of past runs, and this one has a gigabyte.
    shutil.rmtree(bundle.path)
