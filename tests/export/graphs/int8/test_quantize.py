"""INT8 by explicit Q/DQ: on the dense convolutions only, symmetric, and close to what it came from."""

import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from csflow.export.graphs.int8.quantize import MIN_SAMPLES, Quantized, quantize
from csflow.export.graphs.int8.running import Features, scores_of
from csflow.runtime.engines.golden_check import BAND
from csflow.runtime.errors import BackendUnavailable, CalibrationError, EngineError
from tests.export.graphs.int8.nets import features, head

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")


@pytest.fixture(scope="module")
def original() -> bytes:
    return head()


@pytest.fixture(scope="module")
def parts() -> list[dict[str, np.ndarray]]:
    return features(4 * MIN_SAMPLES)


@pytest.fixture(scope="module")
def quantized(original: bytes, parts: list[Features]) -> Quantized:
    return quantize(original, parts, threshold=1e6)


def test_only_dense_convolutions_are_quantized(quantized: Quantized) -> None:
    model = onnx.load_from_string(quantized.onnx)
    made_by = {output: node for node in model.graph.node for output in node.output}
    fed = {
        node.name: [made_by[name].op_type if name in made_by else "" for name in node.input]
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    for name in ("enter", "leave", "up"):
        assert fed[name][:2] == ["DequantizeLinear", "DequantizeLinear"]
        assert fed[name][2:] in ([], [""]), "the bias stays as it is"
    assert "DequantizeLinear" not in fed["depthwise"] + fed["narrow"]
    assert (quantized.convolutions, quantized.wide) == (3, 0)
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", 20)]
    assert model.ir_version == 10


def test_scales_are_per_channel_for_weights_and_every_zero_point_is_zero(quantized: Quantized) -> None:
    model = onnx.load_from_string(quantized.onnx)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        assert not np.any(values[node.input[2]])
        assert values[node.input[2]].dtype == np.int8
    scales = sorted(values[node.input[1]].size for node in pairs)
    assert scales == [1] * 6 + [16, 16, 32], "a pair for each of three tensors; of the weights only the second half"


def test_scores_of_good_parts_stay_within_what_is_said(
    quantized: Quantized, original: bytes, parts: list[Features]
) -> None:
    before, after = (scores_of(onnx.load_from_string(data), parts[1::2]) for data in (original, quantized.onnx))
    assert np.abs(after - before).max() == pytest.approx(quantized.worst, rel=1e-3)
    assert (after - before).mean() == pytest.approx(0.0, abs=1e-6 * before.mean())
    assert quantized.worst < 0.05 * before.mean()
    assert quantized.budget == BAND * 1e6


def test_what_contributes_most_stays_wide_where_the_budget_is_small(original: bytes, parts: list[Features]) -> None:
    made = quantize(original, parts, threshold=1e-6)
    model = onnx.load_from_string(made.onnx)
    assert made.worst > made.budget, "no rounded graph is that near"
    assert made.convolutions == 3
    assert made.wide in (0, 1)
    whole = [node for node in model.graph.node if node.op_type == "Conv" and node.input[0].endswith("/rounded")]
    assert len(whole) == made.convolutions - made.wide
    assert made.facts == {
        "int8": f"{len(whole)} of 3 dense convolutions; scores of good parts within {made.worst:.2g}, "
        f"budget {made.budget:.2g}"
    }


def test_without_thresholds_the_highest_good_part_stands_for_one(original: bytes, parts: list[Features]) -> None:
    scores = scores_of(onnx.load_from_string(original), parts[1::2])
    assert quantize(original, parts).budget == pytest.approx(BAND * scores.max(), rel=1e-6)


def test_a_graph_without_a_dense_convolution_is_refused(parts: list[Features]) -> None:
    with pytest.raises(EngineError, match="no dense convolution"):
        quantize(head(dense=False), parts)


def test_too_few_or_broken_samples_are_refused(original: bytes) -> None:
    with pytest.raises(CalibrationError, match=f"at least {MIN_SAMPLES} good parts, got 3"):
        quantize(original, features(3))
    samples = features(MIN_SAMPLES)
    samples[2]["features_0"][0, 0, 0, 0] = np.nan
    with pytest.raises(CalibrationError, match="not finite"):
        quantize(original, samples)


def test_what_cannot_be_run_is_one_line(original: bytes, parts: list[Features]) -> None:
    wrong = [{"elsewhere": part["features_0"]} for part in parts]
    with pytest.raises(EngineError, match="cannot run") as caught:
        quantize(original, wrong)
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(
    original: bytes, parts: list[Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"\[export\]'"):
        quantize(original, parts)
