"""Graphs of a bundle, exported from a trained model, become one graph, and every file says whose it is."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import compose
from safetensors import safe_open

from csflow.export.graphs.resize_graph import resize_graph
from csflow.export.graphs.signature import sign, signed
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing


@pytest.fixture
def graphs(trained: Path) -> dict[str, onnx.ModelProto]:
    bundle = Bundle.open(trained)
    return {name: onnx.load_from_string(bundle.read(f"graphs/fp32/{name}.onnx")) for name in bundle.manifest.graphs}


def run(model: onnx.ModelProto, **values: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return dict(zip([port.name for port in session.get_outputs()], session.run(None, values), strict=True))


def joined(first: onnx.ModelProto, second: onnx.ModelProto, names: list[tuple[str, str]]) -> onnx.ModelProto:
    merged: onnx.ModelProto = compose.merge_models(first, second, io_map=names)
    onnx.checker.check_model(merged, full_check=True)
    return merged


def test_graphs_merge_by_their_features_alone_and_score_as_before(graphs: dict[str, onnx.ModelProto]) -> None:
    backbone, flow = graphs["backbone"], graphs["flow"]
    merged = joined(backbone, flow, [(port.name, port.name) for port in backbone.graph.output])
    assert [port.name for port in merged.graph.input] == ["frame"]
    frame = np.random.default_rng(3).integers(0, 256, (2, 128, 128, 3), np.uint8)
    apart, whole = run(flow, **run(backbone, frame=frame)), run(merged, frame=frame)
    assert sorted(whole) == ["anomaly_map", "score"]
    for name, values in apart.items():
        np.testing.assert_allclose(whole[name], values, rtol=1e-4)


def test_the_camera_s_resize_merges_too(graphs: dict[str, onnx.ModelProto]) -> None:
    resize = onnx.load_from_string(resize_graph(96, 160, Preprocessing(128, (8, 4, 90, 80)), "fp32"))
    merged = joined(resize, graphs["backbone"], [("resized", "frame")])
    (entry,) = merged.graph.input
    assert [d.dim_value for d in entry.type.tensor_type.shape.dim[1:]] == [96, 160, 3]


def test_a_graph_says_whose_it_is_and_nothing_of_the_machine(trained: Path, graphs: dict[str, onnx.ModelProto]) -> None:
    bundle = Bundle.open(trained)
    for name, model in graphs.items():
        said = {entry.key.removeprefix(f"csflow.{name}."): entry.value for entry in model.metadata_props}
        assert (model.producer_name, model.producer_version) == ("csflow", version("csflow"))
        assert {"csflow": version("csflow"), "graph": name, "precision": "fp32"}.items() <= said.items()
        assert all(value in model.doc_string for value in said.values())
        for weights in model.graph.initializer:
            weights.ClearField("raw_data")  # a million bytes may hold any three
        data = model.SerializeToString()
        assert b".py" not in data
        assert b"stack_trace" not in data
        if name == "flow":
            assert (said["method"], said["model"]) == ("cs-flow", bundle.weights_sha256)
        else:
            assert said["backbone"].startswith("tf_efficientnet_lite0")
            assert said["weights_licence"] == "apache-2.0"
            assert said["weights_source"].startswith("package:")
            assert "model" not in said, "it is the same file in every bundle"


def test_weights_say_whose_they_are_in_the_same_bytes_every_time(trained: Path) -> None:
    from csflow.toolkit.model import Model

    bundle = Bundle.open(trained)
    for graph in bundle.manifest.graphs:
        with safe_open(trained / "weights" / f"{graph}.safetensors", "pt") as opened:
            said: dict[str, Any] = json.loads(opened.metadata()["csflow"])
        assert (said["csflow"], said["graph"]) == (version("csflow"), graph)
        assert said.get("method") == ("cs-flow" if graph == "flow" else None)
        assert said.get("weights_licence") == ("apache-2.0" if graph == "backbone" else None)
    again = Model.load(bundle).weight_files(bundle.manifest.provenance)
    assert {name: bundle.read(name) for name in again} == again


def test_signing_twice_is_as_once(graphs: dict[str, onnx.ModelProto]) -> None:
    once = onnx.ModelProto()
    once.CopyFrom(graphs["flow"])
    sign(once, "flow", {"method": "other"})
    assert signed(once.SerializeToString(), "flow", {"method": "other"}) == once.SerializeToString()
    assert once.graph.node == graphs["flow"].graph.node
