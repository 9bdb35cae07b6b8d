"""The graphs of every method, in turn: OpenVINO decides as torch, half precision within its tolerance."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from csflow.export.graphs.graph import Graph
from csflow.export.graphs.methods import EXPORTERS, fold_savings, model_graphs
from csflow.export.plans.graph_products import graph_products
from csflow.export.plans.precision_audit import require_half_graph
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.golden_check import check_golden, tolerances
from csflow.runtime.engines.opening import load_engine
from csflow.toolkit.methods.table import METHODS
from csflow.toolkit.model import Model

from ...conftest import WITH_GRAPHS  # noqa: TID252 - tests are no package that could be named
from ...large_files import with_large_files_shared  # noqa: TID252 - tests are no package that could be named
from .bounds import FLOAT32_MAX, Bounds, Interval


@pytest.fixture(scope="session", params=WITH_GRAPHS[::-1])
def method_bundle(request: pytest.FixtureRequest, bundle_with_graphs: Callable[[str], Path]) -> Path:
    """In the other order than elsewhere: of two processes that make them, neither waits for what the other makes."""
    return bundle_with_graphs(request.param)


@pytest.fixture
def bundle(method_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    return Bundle.open(with_large_files_shared(method_bundle, tmp_path / "model.csflow"))


def test_every_method_has_graphs() -> None:
    assert set(EXPORTERS) == set(METHODS)


@pytest.mark.slow
def test_graphs_are_files_of_the_manifest_s_names_joined_by_features(bundle: Bundle) -> None:
    given, last = {"frame"}, [""]
    for name in bundle.manifest.graphs:
        graph = onnx.load_from_string(bundle.read(f"graphs/fp32/{name}.onnx")).graph
        assert {port.name for port in graph.input} <= given
        last = [port.name for port in graph.output]
        assert not given & {*last}
        given |= {*last}
        assert all(port.type.tensor_type.shape.dim[0].dim_param == "batch" for port in graph.output)
    assert last == ["score", "anomaly_map"]


def test_inner_names_begin_with_the_graph_s(bundle: Bundle) -> None:
    for name in bundle.manifest.graphs:
        graph = onnx.load_from_string(bundle.read(f"graphs/fp16/{name}.onnx")).graph
        ports = {port.name for port in (*graph.input, *graph.output)}
        inner = {node.name for node in graph.node} | {edge for node in graph.node for edge in node.output} - ports
        stored = {value.name for value in (*graph.initializer, *graph.value_info)} - ports
        assert all(value.startswith(f"{name}/") for value in inner | stored)


def test_no_value_of_a_graph_can_leave_float32(bundle: Bundle) -> None:
    # What is infinite or NaN inside a graph could become a number again, in OpenVINO's Clip and Relu for example.
    known: dict[str, Interval] = {"frame": (0.0, 255.0)}
    for name in bundle.manifest.graphs:
        bounds = Bounds(bundle.read(f"graphs/fp32/{name}.onnx"), known)
        assert bounds.largest < FLOAT32_MAX / 2
        known = bounds.of


@pytest.mark.parametrize("backend", ["openvino-fp32", "torch-fp16"])
def test_engines_agree_with_the_trained_model_on_golden_frames(bundle: Bundle, backend: str) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    golden = load_golden(bundle)
    with load_engine(bundle, backend) as engine:
        check = check_golden(engine, golden, None)
        limits = tolerances(engine.name, golden.spread is not None)
    assert check.score_error <= limits.score
    assert check.map_error <= limits.map


def test_half_graphs_multiply_in_half_and_agree(bundle: Bundle) -> None:
    graphs = {name: bundle.read(f"graphs/fp16/{name}.onnx") for name in bundle.manifest.graphs}
    golden = load_golden(bundle)
    values = {"frame": np.stack([frame.image for frame, _ in golden])}
    for name, data in graphs.items():
        require_half_graph(graph_products(data, name), name)
        session = onnxruntime.InferenceSession(data)
        ports = [port.name for port in session.get_outputs()]
        needed = {port.name: values[port.name] for port in session.get_inputs()}
        values |= zip(ports, session.run(None, needed), strict=True)
    assert (values["score"].dtype, values["anomaly_map"].dtype) == (np.float32, np.float32)
    for score, (_, expected) in zip(values["score"], golden, strict=True):
        assert abs(score - expected.score) <= 0.1 * golden.unit(expected.score)


def test_half_precision_of_strong_anomalies_is_finite(bundle: Bundle) -> None:
    model = Model.load(bundle)
    backbone, *heads = model_graphs(model, "fp16")
    nothing = {name: torch.zeros(2, *shape).half() for name, shape in zip(backbone.outputs, model.shapes, strict=True)}
    plain = _judged(heads, dict(nothing))
    for factor in (1e2, 1e4, 1e6):
        strong = {n: (factor * torch.randn(x.shape)).clamp(-65504.0, 65504.0).half() for n, x in nothing.items()}
        found = _judged(heads, strong)
        assert torch.isfinite(found["score"]).all(), factor
        assert torch.isfinite(found["anomaly_map"]).all(), factor
        assert (found["score"] > plain["score"]).all(), factor


def _judged(heads: list[Graph], values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for graph in heads:
        with torch.inference_mode():
            values |= zip(graph.outputs, graph.module(*(values[name] for name in graph.inputs)), strict=True)
    return values


def test_savings_are_said_of_graphs_of_the_bundle(bundle: Bundle) -> None:
    savings = fold_savings(Model.load(bundle).config)
    assert {saving.graph for saving in savings} <= set(bundle.manifest.graphs)
    assert any(saving.graph == "backbone" for saving in savings)
