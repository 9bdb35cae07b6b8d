"""Exported graphs: what goes in and out, and that ONNX Runtime, OpenVINO and torch agree on real pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

from csflow.calibration.calibrate import calibrate
from csflow.export.cli.export import export
from csflow.export.gate.staged import StagedBundle
from csflow.export.gate.write_graphs import pass_gate
from csflow.export.graphs.methods import model_graphs
from csflow.export.graphs.onnx_export import to_onnx
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.picture.images import list_images, read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.model import Model


def graph(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load_from_string(bundle.read(f"graphs/fp32/{name}.onnx"))


def ports(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[object]]]:
    return {
        v.name: (v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in values
    }


def test_inputs_outputs_opset_and_batch(trained: Path) -> None:
    bundle = Bundle.open(trained)
    float32, uint8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    features = {
        "features_0": (float32, ["batch", 192, 4, 4]),
        "features_1": (float32, ["batch", 192, 2, 2]),
    }
    backbone, flow = graph(bundle, "backbone"), graph(bundle, "flow")
    assert ports(list(backbone.graph.input)) == {"frame": (uint8, ["batch", 128, 128, 3])}
    assert ports(list(backbone.graph.output)) == features
    assert ports(list(flow.graph.input)) == features
    assert ports(list(flow.graph.output)) == {
        "score": (float32, ["batch"]),
        "anomaly_map": (float32, ["batch", 4, 4]),
    }
    for model in (backbone, flow):
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
        assert model.ir_version <= 10


def test_graphs_suit_tensorrt_s_parser(trained: Path) -> None:
    backbone, flow = (graph(Bundle.open(trained), name) for name in ("backbone", "flow"))
    readers = [node.op_type for node in backbone.graph.node if "frame" in node.input]
    assert readers == ["Cast"], "uint8 may enter a Cast only"
    operators = Counter(node.op_type for node in flow.graph.node)
    assert operators["GatherND"] == 0, "a permutation must be a plain Gather"
    assert operators["Atan"] == 2 * 2 * 2, "one per block, half and scale: no log-determinant is left over"
    assert operators["Clip"] == 2, "one per scale, after the last block"
    assert operators["BatchNormalization"] == 0


def test_three_runtimes_agree_on_scores_and_verdicts(trained_copy: Path, product_line: Path) -> None:
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    calibration = load_calibration(bundle)
    assert calibration is not None
    sessions = [onnxruntime.InferenceSession(bundle.read(f"graphs/fp32/{n}.onnx")) for n in ("backbone", "flow")]
    paths = [p for folder in sorted((product_line / "test").iterdir()) for p in list_images(folder)]
    pictures = [Frame(preprocess(read_image(p), bundle.manifest.preprocessing)) for p in paths]
    with open_engine(bundle, "torch") as a, open_engine(bundle, "openvino-fp32") as b:
        ours, theirs = a.infer(pictures), b.infer(pictures)
    for picture, torch_says, openvino_says in zip(pictures, ours, theirs, strict=True):
        features = sessions[0].run(None, {"frame": picture.image[None]})
        score, anomaly_map = sessions[1].run(None, {f"features_{i}": f for i, f in enumerate(features)})
        assert float(score[0]) == pytest.approx(torch_says.score, rel=1e-4)
        assert openvino_says.score == pytest.approx(torch_says.score, rel=1e-4)
        np.testing.assert_allclose(anomaly_map[0], torch_says.anomaly_map, rtol=1e-3, atol=1e-4)
        verdicts = {calibration.verdict(s) for s in (float(score[0]), openvino_says.score, torch_says.score)}
        assert len(verdicts) == 1


def test_batch_of_two_gives_the_scores_of_one(trained: Path) -> None:
    bundle = Bundle.open(trained)
    session = onnxruntime.InferenceSession(bundle.read("graphs/fp32/backbone.onnx"))
    frames = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    both = session.run(None, {"frame": frames})
    alone = session.run(None, {"frame": frames[1:]})
    for together, single in zip(both, alone, strict=True):
        np.testing.assert_allclose(together[1:], single, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_gate_catches_graphs_of_other_weights(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    model = Model.load(bundle)
    for name, parameter in model.head.named_parameters():
        if name.endswith("gamma"):
            parameter.mul_(1.5)
    # Whose backbone is the same, and so is its graph.
    (flow,) = (graph for graph in model_graphs(model, "fp32") if graph.name == "flow")
    graphs = {name: bundle.read(name) for name in bundle.manifest.files if name.startswith("graphs/fp32/")}
    graphs |= {"graphs/fp32/flow.onnx": to_onnx(flow)}
    before = {path: path.read_bytes() for path in trained_copy.rglob("*") if path.is_file()}
    with pytest.raises(EngineMismatch, match="do not decide"):
        pass_gate(StagedBundle.of(bundle, graphs))
    assert before == {path: path.read_bytes() for path in trained_copy.rglob("*") if path.is_file()}


def test_command_without_bundle_ends_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(export, ["--bundle", str(tmp_path / "none")])
    assert result.exit_code == 3
    assert result.output.startswith("Error: no bundle at")
    assert result.output.count("\n") == 1
