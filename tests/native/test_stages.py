"""Any number of graphs in the manifest's order, tensors joined by their names: the same in libcsflow as in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.detector import Detector
from csflow.runtime.types import Prediction

SIDE = 64
GRAPHS = ("backbone", "neck", "head")
DEVICE = "openvino-fp32"


def graph(nodes: Sequence[Any], inputs: dict[str, Any], outputs: dict[str, Any], **constants: Any) -> bytes:
    """An ONNX file; inputs and outputs by name with their shapes, float32 but for `frame`."""
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    kind = onnx.TensorProto

    def described(name: str, shape: tuple[Any, ...]) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind.UINT8 if name == "frame" else kind.FLOAT, shape)

    held = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    sides = ([described(*item) for item in side.items()] for side in (inputs, outputs))
    made = [onnx.helper.make_node(kind, list(read), [written], **how) for kind, read, written, how in nodes]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(made, "g", *sides, held), opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def three_graphs() -> dict[str, bytes]:
    """The head reads what the neck gives and, past it, what the backbone gives."""
    cells, half = ("N", 3, 2, 2), np.float32(0.5)
    backbone = graph(
        [
            ("Cast", ("frame",), "as_float", {"to": 1}),
            ("Transpose", ("as_float",), "planes", {"perm": [0, 3, 1, 2]}),
            ("AveragePool", ("planes",), "mean", {"kernel_shape": [32, 32], "strides": [32, 32]}),
            ("Div", ("mean", "white"), "features_0", {}),
            ("Mul", ("features_0", "half"), "features_1", {}),
        ],
        {"frame": ("N", SIDE, SIDE, 3)},
        {"features_0": cells, "features_1": cells},
        white=np.float32(255),
        half=half,
    )
    neck = graph([("Add", ("features_1", "half"), "narrow", {})], {"features_1": cells}, {"narrow": cells}, half=half)
    head = graph(
        [
            ("Mul", ("narrow", "features_0"), "product", {}),
            ("ReduceMean", ("product",), "anomaly_map", {"axes": [1], "keepdims": 0}),
            ("ReduceMean", ("anomaly_map",), "score", {"axes": [1, 2], "keepdims": 0}),
        ],
        {"narrow": cells, "features_0": cells},
        {"score": ("N",), "anomaly_map": ("N", 2, 2)},
    )
    return {f"graphs/fp32/{name}.onnx": data for name, data in zip(GRAPHS, (backbone, neck, head), strict=True)}


def expected_of(level: int) -> Prediction:
    """What a picture of one level gives."""
    share = level / 255
    score = share * (share / 2 + 0.5)
    return Prediction(score, np.full((2, 2), score, np.float32))


@pytest.fixture
def staged(tmp_path: Any, with_record: Callable[..., Bundle]) -> Bundle:
    """A calibrated bundle of three graphs, whose engine the gate has passed."""
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    manifest = Manifest(Preprocessing(SIDE), Definitions(), {}, {}, {}, "three-graphs", GRAPHS)
    golden = []
    for level in (40, 200):
        frame = GoldenFrame.of(f"{level}.png", "plain", expected_of(level))
        golden.append((np.full((SIDE, SIDE, 3), level, np.uint8), frame))
    files = {**three_graphs(), **write_golden(golden, [0.1, 0.12, 0.14])}
    bundle = Bundle.create(tmp_path / "three.csflow", manifest, files)
    identity = {"weights_sha256": bundle.weights_sha256, "backend": "x", "created_utc": "2026-01-01T00:00:00Z"}
    calibration = Calibration(0.3, 0.2, 0.05, 0.95, 0.05, 0.1, (0.1, 0.12, 0.14), **identity)  # type: ignore[arg-type]
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))
    return with_record(bundle, DEVICE)


@pytest.mark.parametrize("place", ["", "worker:"])
def test_three_graphs_give_the_same_as_in_python(staged: Bundle, openvino: Any, picture: Any, place: str) -> None:
    draw = np.random.default_rng(3)
    with openvino(staged.path, place + DEVICE) as ours, Detector.open(staged.path, DEVICE) as theirs:
        about = ours.describe()
        assert (about.method, about.engine, about.distrust) == (b"three-graphs", DEVICE.encode(), b"")
        for level in (20, 80, 160, 250):
            pixels = draw.integers(level - 20, level, (50, 70, 3), dtype=np.uint8)
            result, expected = ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels)
            assert (result.score, result.verdict) == (expected.score, expected.verdict)
            np.testing.assert_array_equal(np.reshape(ours.anomaly_map()[2], (2, 2)), expected.anomaly_map)


def test_a_precision_for_each_graph(staged: Bundle, openvino: Any, binding: Any) -> None:
    with openvino(staged.path, "openvino-fp32+fp32+fp32", unverified=1) as detector:
        assert detector.describe().engine == b"openvino-fp32+fp32+fp32"
    with pytest.raises(binding.LibraryError, match="names 2 precisions, the bundle has 3 graphs") as caught:
        openvino(staged.path, "openvino-fp32+fp32")
    assert caught.value.status == -1
    with pytest.raises(binding.LibraryError, match="no device 'openvino-fp16'"):
        openvino(staged.path, "openvino-fp16")


def test_graphs_that_do_not_join_are_refused(staged: Bundle, openvino: Any, binding: Any) -> None:
    cells = ("N", 3, 2, 2)
    other = graph([("Neg", ("foreign",), "narrow", {})], {"foreign": cells}, {"narrow": cells})
    changed = staged.update({"graphs/fp32/neck.onnx": other})
    with pytest.raises(
        binding.LibraryError, match=r"neck\.onnx reads foreign, which no graph before it gives"
    ) as caught:
        openvino(changed.path, DEVICE)
    assert caught.value.status == -6


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 1000, b"\x08\x0a" + b"\x12" * 50])
def test_a_graph_that_is_none_is_refused_in_words(staged: Bundle, openvino: Any, binding: Any, content: bytes) -> None:
    with pytest.raises(binding.LibraryError, match=r"OpenVINO cannot \w+ .*") as caught:
        openvino(staged.update({"graphs/fp32/neck.onnx": content}).path, DEVICE)
    assert caught.value.status in (-6, -10)
    assert "\n" not in str(caught.value)
