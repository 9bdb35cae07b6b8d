"""The first convolutions of a backbone stay in float32 where the rest is bfloat16: two graphs that are the one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from csflow.export.graphs.wide import cut_backbone, wide_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import Stage, stages

PARTS = ("graphs/bf16/backbone_wide.onnx", "graphs/bf16/backbone.onnx")


@pytest.fixture(scope="module")
def parted(trained: Path) -> tuple[Bundle, dict[str, bytes]]:
    """A bundle of two image scales, and the two graphs of its backbone."""
    bundle = Bundle.open(trained)
    return bundle, wide_graphs(bundle)


def convolutions(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "Conv" for node in model.graph.node)


def test_both_parts_together_are_the_graph(parted: tuple[Bundle, dict[str, bytes]]) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    bundle, graphs = parted
    assert tuple(graphs) == PARTS
    first, second = (onnx.load_from_string(data) for data in graphs.values())
    whole = onnx.load_from_string(bundle.read("graphs/fp32/backbone.onnx"))
    assert convolutions(first) == 4, "two of each scale"
    assert convolutions(first) + convolutions(second) == convolutions(whole)
    assert [port.name for port in first.graph.output] == [port.name for port in second.graph.input]
    assert [port.name for port in second.graph.output] == [port.name for port in whole.graph.output]
    frame = np.random.default_rng(2).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    given = {"frame": frame}
    for data in graphs.values():
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        given = dict(zip([port.name for port in session.get_outputs()], session.run(None, given), strict=True))
    expected = runtime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, value in zip([p.name for p in expected.get_outputs()], expected.run(None, {"frame": frame}), strict=True):
        np.testing.assert_allclose(given[name], value, rtol=1e-5, atol=1e-5)


def test_bfloat16_runs_the_parts_where_the_bundle_has_them(parted: tuple[Bundle, dict[str, bytes]]) -> None:
    bundle, graphs = parted
    entries = dict.fromkeys(graphs, next(iter(bundle.manifest.files.values())))
    with_parts = bundle.manifest.__class__(**{**vars(bundle.manifest), "files": {**bundle.manifest.files, **entries}})
    two = (Stage("backbone_wide", "fp32", PARTS[0]), Stage("backbone", "bf16", PARTS[1]))
    flow = Stage("flow", "bf16", "graphs/fp32/flow.onnx")
    assert stages(with_parts, EngineName("openvino", "bf16")) == (*two, flow)
    assert stages(with_parts, EngineName("openvino", "fp32+bf16"))[0].file == "graphs/fp32/backbone.onnx"
    assert [s.file for s in stages(bundle.manifest, EngineName("openvino", "bf16"))] == [
        "graphs/fp32/backbone.onnx",
        flow.file,
    ]


def test_a_graph_without_a_cut_stays_whole() -> None:
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weight")
    nodes = [helper.make_node("Conv", ["frame", "weight"], ["features_0"], "only")]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("frame", "features_0")]
    model = helper.make_model(helper.make_graph(nodes, "backbone", ports[:1], ports[1:], [weight]))
    assert cut_backbone(model) == ()


def test_the_engine_computes_the_parts(parted: tuple[Bundle, dict[str, bytes]]) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("no bfloat16 on this processor")
    from csflow.export.gate.staged import StagedBundle
    from csflow.runtime.bundle.golden import load_golden
    from csflow.runtime.engines.openvino.engine import OpenVINOEngine

    bundle, graphs = parted
    golden = load_golden(bundle)
    errors = []
    for either in (bundle, StagedBundle.of(bundle, graphs)):
        with OpenVINOEngine(either, "bf16") as engine:
            got = [engine.infer([frame])[0].score for frame, _ in golden]
        errors.append(max(abs(s - g.score) / golden.unit(g.score) for s, (_, g) in zip(got, golden, strict=True)))
    assert errors[1] < errors[0]
