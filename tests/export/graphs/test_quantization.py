"""INT8 by explicit Q/DQ: on the dense convolutions only, symmetric, and close to what it came from."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from csflow.export.graphs.quantization import MIN_SAMPLES, outputs_of, quantize
from csflow.runtime.errors import BackendUnavailable, CalibrationError, EngineError

Features = dict[str, NDArray[np.float32]]
DRAW = np.random.default_rng(3)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(DRAW.normal(0, 0.1, shape).astype(np.float32), name)


def flow(dense: bool = True) -> bytes:
    """A dense convolution, a depthwise one, a narrow one, and a score."""
    nodes = [
        helper.make_node("Conv", ["features_0", "wide", "bias"], ["a"], "dense", pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
        helper.make_node("Conv", ["b", "depth"], ["c"], "depthwise", pads=[1, 1, 1, 1], group=32),
        helper.make_node("Conv", ["c", "narrow"], ["d"], "narrow"),
        helper.make_node("ReduceMean", ["d"], ["score"], "mean", keepdims=0),
    ]
    weights = [weight("wide", 32, 24, 3, 3), weight("bias", 32), weight("depth", 32, 1, 3, 3)]
    weights += [weight("narrow", 8, 32, 1, 1)]
    if not dense:
        nodes[:1] = [helper.make_node("Concat", ["features_0", "features_0"], ["e"], axis=1)]
        nodes.insert(1, helper.make_node("Slice", ["e", "from", "to", "axis"], ["a"]))
        weights += [numpy_helper.from_array(np.array([v]), n) for n, v in (("from", 0), ("to", 32), ("axis", 1))]
    inputs = [helper.make_tensor_value_info("features_0", TensorProto.FLOAT, ["batch", 24, 6, 6])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [])]
    graph = helper.make_graph(nodes, "flow", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def features(count: int = MIN_SAMPLES) -> list[Features]:
    return [{"features_0": DRAW.normal(0, 1, (1, 24, 6, 6)).astype(np.float32)} for _ in range(count)]


@pytest.fixture(scope="module")
def quantized() -> tuple[bytes, bytes, list[Features]]:
    original, samples = flow(), features()
    return original, quantize(original, samples), samples


def test_only_the_dense_convolution_is_quantized(quantized: tuple[bytes, bytes, list[Features]]) -> None:
    model = onnx.load_from_string(quantized[1])
    made_by = {output: node for node in model.graph.node for output in node.output}
    fed = {
        node.name: [made_by[name].op_type if name in made_by else "" for name in node.input]
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    assert fed["dense"][:2] == ["DequantizeLinear", "DequantizeLinear"]
    assert fed["dense"][2] == "", "the bias stays as it is"
    assert "DequantizeLinear" not in fed["depthwise"] + fed["narrow"]
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", 20)]
    assert model.ir_version == 10


def test_scales_are_per_channel_for_weights_and_every_zero_point_is_zero(
    quantized: tuple[bytes, bytes, list[Features]],
) -> None:
    model = onnx.load_from_string(quantized[1])
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) == 3, "one pair for what flows in; of the weights only the second half"
    for node in pairs:
        assert not np.any(values[node.input[2]])
        assert values[node.input[2]].dtype == np.int8
    scales = sorted(values[node.input[1]].size for node in pairs)
    assert scales == [1, 1, 32]


def test_scores_stay_close(quantized: tuple[bytes, bytes, list[Features]]) -> None:
    original, made, samples = quantized
    for sample in samples:
        before, after = (
            onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, sample)[0]
            for data in (original, made)
        )
        assert after == pytest.approx(before, abs=0.01)


def test_a_graph_without_a_dense_convolution_is_refused() -> None:
    with pytest.raises(EngineError, match="no dense convolution"):
        quantize(flow(dense=False), features())


def test_too_few_or_broken_samples_are_refused() -> None:
    with pytest.raises(CalibrationError, match=f"at least {MIN_SAMPLES} good parts, got 3"):
        quantize(flow(), features(3))
    samples = features()
    samples[2]["features_0"][0, 0, 0, 0] = np.nan
    with pytest.raises(CalibrationError, match="not finite"):
        quantize(flow(), samples)


def test_what_the_quantizer_cannot_do_is_one_line() -> None:
    wrong = [{"elsewhere": sample["features_0"]} for sample in features()]
    with pytest.raises(EngineError, match="cannot quantize") as caught:
        quantize(flow(), wrong)
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"\[export\]'"):
        quantize(flow(), features())


def test_features_are_those_of_the_backbone_graph() -> None:
    nodes = [
        helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["features_0"], perm=[0, 3, 1, 2]),
    ]
    inputs = [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["batch", 4, 4, 3])]
    outputs = [helper.make_tensor_value_info("features_0", TensorProto.FLOAT, ["batch", 3, 4, 4])]
    graph = helper.make_graph(nodes, "backbone", inputs, outputs)
    backbone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    frame = DRAW.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    (got,) = outputs_of(backbone.SerializeToString(), [{"frame": frame[None]}])
    np.testing.assert_array_equal(got["features_0"][0], frame.transpose(2, 0, 1))
    with pytest.raises(EngineError, match="exported graph"):
        outputs_of(b"no graph", [])
