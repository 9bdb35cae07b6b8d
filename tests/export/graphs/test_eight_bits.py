"""A backbone of eight bits as ONNX: whole weights, symmetric roundings, and the same bits from every runtime."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from csflow.export.graphs.backbone import InferenceBackbone
from csflow.export.graphs.graph import backbone_graph
from csflow.export.graphs.onnx_export import to_onnx
from csflow.export.plans.graph_products import Product, graph_products
from csflow.export.plans.layers import Tensor
from csflow.export.plans.plan import build_plan
from csflow.export.plans.precision_audit import audit_plan, half_share, require_half_graph
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import EngineError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.int8.quantized import quantized
from csflow.toolkit.backbones.networks import build_backbone

SIDE = 64
FRAME = torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """The first stages of an EfficientNet-lite with random weights."""
    return rounded("tf_efficientnet_lite0")


def rounded(name: str) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build_backbone(BackboneConfig(name, 1, (0.5,) * 3, (0.5,) * 3, stages=(1, 2)))
    return quantized(made, [FRAME])


@pytest.fixture(scope="module")
def graph(backbone: Backbone) -> bytes:
    return to_onnx(backbone_graph(backbone, SIDE))


@pytest.fixture(scope="module")
def expected(backbone: Backbone) -> list[np.ndarray]:
    with torch.no_grad():
        return [feature.numpy() for feature in backbone(FRAME)]


def test_onnx_runtime_gives_the_same_bits(graph: bytes, expected: list[np.ndarray]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    got = session.run(None, {"frame": FRAME.numpy()})
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_openvino_gives_the_same_bits(graph: bytes, expected: list[np.ndarray]) -> None:
    openvino = pytest.importorskip("openvino")
    from csflow.runtime.engines.openvino.core import eight_bits

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32", **eight_bits()})
    got = list(compiled({"frame": FRAME.numpy()}).values())
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


LIMITED = """
import sys
import numpy as np
from csflow.runtime.engines.openvino import core
core.processor_instructions = lambda: "sse2 avx avx2"
made = core.new_core()
config = {"INFERENCE_PRECISION_HINT": "f32", **core.eight_bits()}
compiled = made.compile_model(made.read_model(sys.argv[1]), "CPU", config)
np.savez(sys.argv[2], *compiled({"frame": np.load(sys.argv[3])}).values())
"""


def test_openvino_gives_them_without_vnni_too(graph: bytes, expected: list[np.ndarray], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("graph.onnx", "found.npz", "frame.npy")]
    files[0].write_bytes(graph)
    np.save(files[2], FRAME.numpy())
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", LIMITED, *map(str, files)], env=env, check=True)
    with np.load(files[1]) as found:
        assert all(np.array_equal(found[name], b) for name, b in zip(found.files, expected, strict=True))


def test_smooth_activations_and_squeezes_have_the_same_bits_too() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    from csflow.runtime.engines.openvino.core import eight_bits

    backbone = rounded("tf_efficientnet_b0")
    graph = to_onnx(backbone_graph(backbone, SIDE))
    with torch.no_grad():
        expected = [feature.numpy() for feature in backbone(FRAME)]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32", **eight_bits()})
    for got in (session.run(None, {"frame": FRAME.numpy()}), list(compiled({"frame": FRAME.numpy()}).values())):
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_weights_are_int8_and_every_zero_point_is_0(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    first, second, *others = convolutions
    assert {first.input[1], second.input[1]} <= set(stored)
    for node in others:
        whole, scale, zero = (stored[name] for name in made[node.input[1]].input)
        assert (whole.dtype, zero.dtype) == (np.int8, np.int8)
        assert not zero.any()
        assert np.array_equal(np.log2(scale), np.log2(scale).round())
    rounded = [made[node.input[0]].op_type for node in others]
    assert set(rounded) == {"DequantizeLinear"}


def test_half_precision_leaves_its_exact_numbers_and_casts_the_features(backbone: Backbone) -> None:
    half = backbone_graph(backbone, SIDE, "fp16").module
    assert isinstance(half, InferenceBackbone)
    with torch.no_grad():
        got, exact = half(FRAME), backbone(FRAME)
    assert all(torch.equal(a, b.half()) for a, b in zip(got, exact, strict=True))


def test_tensorrt_builds_its_convolutions_in_int8(rtx: Library, graph: bytes) -> None:
    products = graph_products(graph, "backbone.onnx")
    assert [p.type for p in products] == ["FLOAT", "FLOAT", *["INT8"] * (len(products) - 2)]
    built = build_plan(rtx, "backbone", graph, BuildOptions(), lambda _share, _phase: None)
    audit = audit_plan(products, built.layers, built.source, "the backbone plan")
    assert audit.half_in_plan == pytest.approx(half_share(products)), "all but the first two"
    wide = (Tensor("float", 64),)
    widened = [dataclasses.replace(layer, inputs=wide, constants=wide) for layer in built.layers]
    with pytest.raises(EngineError, match=r"that is not is .* in float"):
        audit_plan(products, widened, built.source, "the backbone plan")


def test_a_half_graph_may_keep_the_stem_of_an_int8_backbone_wide() -> None:
    def products(stem: int) -> list[Product]:
        return [Product("stem", "Conv", "FLOAT", stem), Product("rest", "Conv", "INT8", 100)]

    require_half_graph(products(5), "backbone.onnx")
    with pytest.raises(EngineError, match=r"at least 90% was expected; .* 'stem' \(Conv\) in FLOAT"):
        require_half_graph(products(50), "backbone.onnx")
