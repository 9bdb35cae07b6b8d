"""Half precision: float32 where it must be, saturation instead of NaN, and the scores of the trained model."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from csflow.calibration.calibrate import calibrate
from csflow.export.graphs.backbone import WideSqueeze
from csflow.export.graphs.graph import Graph, backbone_graph
from csflow.export.graphs.half import HALF_MAX, SUM_LIMIT, Saturate
from csflow.export.graphs.heads.flow.graph import flow_graph
from csflow.export.graphs.heads.flow.tap_convolution import TapConvolution
from csflow.export.graphs.heads.flow.typed import input_bound
from csflow.export.graphs.onnx_export import to_onnx
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.images import list_images, read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.methods.flow.flow import FlowHead
from csflow.toolkit.methods.method import Shapes

from ..conftest import MakeBackbone, MakeFlow  # noqa: TID252 - tests are no package that could be named

FACTORS = (1.0, 1e2, 1e3, 1e4, 1e5, 1e6)
SCORE_TOLERANCE = 5e-3
"""Relative difference of scores to the trained model that half precision may cause on these small models."""


def half_features(shapes: Shapes, factor: float) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    whole = [factor * torch.randn(2, *shape, generator=generator) for shape in shapes]
    return tuple(Saturate()(x) for x in whole)


def in_torch(graph: Graph, features: tuple[Tensor, ...]) -> list[np.ndarray]:
    with torch.inference_mode():
        return [t.numpy() for t in graph.module(*features)]


def in_session(session: onnxruntime.InferenceSession, _: Graph, features: tuple[Tensor, ...]) -> list[np.ndarray]:
    outputs: list[np.ndarray] = session.run(None, {f"features_{i}": f.numpy() for i, f in enumerate(features)})
    return outputs


@pytest.mark.parametrize(("weights", "whiten"), [(1.0, False), (30.0, False), (1.0, True)])
def test_strong_anomalies_saturate_in_torch_and_onnxruntime(make_flow: MakeFlow, weights: float, whiten: bool) -> None:
    flow, shapes = make_flow(2, (3, 5), hidden=128, whiten=whiten, score_power=3 if whiten else 1)
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            # Large weights make a sum of half-precision products overflow where nothing bounds its terms.
            module.weight.mul_(weights)
    graph = flow_graph(FlowHead(flow), shapes, precision="fp16")
    session = onnxruntime.InferenceSession(to_onnx(graph))
    for run in (in_torch, partial(in_session, session)):
        outputs = [run(graph, half_features(shapes, factor)) for factor in FACTORS]
        for value, picture in outputs:
            assert value.dtype == picture.dtype == np.float32
            assert np.isfinite(value).all()
            assert np.isfinite(picture).all()
        scores = [float(value.min()) for value, _ in outputs]
        assert all(later > 0.5 * sooner for sooner, later in itertools.pairwise(scores))
        if weights == 1.0:
            assert min(scores[1:]) > 100.0 * scores[0]
            assert_close(outputs[0], in_torch(flow_graph(FlowHead(flow), shapes), half_features(shapes, 1.0)))


def assert_close(half: list[np.ndarray], whole: list[np.ndarray]) -> None:
    np.testing.assert_allclose(half[0], whole[0], rtol=SCORE_TOLERANCE)
    np.testing.assert_allclose(half[1], whole[1], rtol=0.05, atol=0.02 * float(whole[1].max()))


def test_float32_of_the_same_anomalies_leaves_the_half_range(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow(hidden=128)
    z, _ = flow(tuple(1e6 * f.float() for f in half_features(shapes, 1.0)))
    assert max(float(z_i.abs().max()) for z_i in z) > HALF_MAX


def test_without_bounds_the_same_anomalies_become_nan(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow(hidden=128)
    graph = flow_graph(FlowHead(flow), shapes, precision="fp16")
    for name, module in list(graph.module.named_modules()):
        if name.endswith(("narrow_input", "narrow_hidden")):
            module.bound = float("inf")
    value, _ = in_torch(graph, half_features(shapes, 1e6))
    assert not np.isfinite(value).all()


def test_bound_is_what_the_weights_allow() -> None:
    convs = [nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3, bias=False)]
    with torch.no_grad():
        for conv in convs:
            conv.weight.fill_(-2.0)
        convs[0].bias.fill_(-100.0)
        bound = input_bound([*convs[:1], TapConvolution(convs[1], 4)])
    # 3 · 3 taps, 2 channels, weights of 2, twice: 72 times the bound, and a bias of 100.
    assert bound == pytest.approx((SUM_LIMIT - 100.0) / 72.0)


def test_squeeze_means_in_float32(make_backbone: MakeBackbone) -> None:
    graph = backbone_graph(make_backbone("tf_efficientnet_b0"), 64, "fp16")
    squeezes = [m for m in graph.module.modules() if isinstance(m, WideSqueeze)]
    assert len(squeezes) == 15
    # 200 x 200 values of 40: their sum, 1.6 million, is far outside of float16.
    x = torch.full((1, squeezes[0].excite[0].in_channels, 200, 200), 40.0).half()
    with torch.inference_mode():
        assert torch.isfinite(squeezes[0](x)).all()


@pytest.mark.parametrize("level", [0, 255, None])
def test_features_of_extreme_frames_are_finite_and_close(make_backbone: MakeBackbone, level: int | None) -> None:
    backbone = make_backbone("tf_efficientnet_b0")
    random = torch.randint(0, 256, (1, 64, 64, 3), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)
    frame = random if level is None else torch.full_like(random, level)
    with torch.inference_mode():
        half, whole = (backbone_graph(backbone, 64, p).module(frame) for p in ("fp16", "fp32"))
    for a, b in zip(half, whole, strict=True):
        assert a.dtype == torch.float16
        assert float((a.float() - b).norm() / b.norm()) < 0.02


def test_unknown_precision_is_refused(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow()
    with pytest.raises(ConfigError, match="no precision 'fp8'; choose one of: fp32, fp16"):
        flow_graph(FlowHead(flow), shapes, precision="fp8")


@pytest.fixture(scope="module")
def half_bundle(trained_half_graphs: dict[str, bytes]) -> dict[str, onnx.ModelProto]:
    """The half-precision graphs of the trained bundle, by name."""
    return {name.split("/")[-1]: onnx.load_from_string(data) for name, data in trained_half_graphs.items()}


@pytest.mark.slow
def test_command_writes_half_graphs_beside_the_others(
    trained: Path, exported_half: tuple[Bundle, dict[str, Any]]
) -> None:
    bundle, said = exported_half
    new = {"graphs/fp16/backbone.onnx", "graphs/fp16/flow.onnx"}
    bundle.verify()
    written = bundle.manifest.files.keys() - Bundle.open(trained).manifest.files.keys()
    assert {name for name in written if not name.startswith("verification.")} == new
    assert set(said["bytes"]) == {name for name in bundle.manifest.files if name.startswith("graphs/")}
    assert all(said["bytes"][name] < 0.6 * said["bytes"][name.replace("fp16", "fp32")] for name in new)
    assert {fold["graph"] for fold in said["folds"]} == {"backbone", "flow"}
    assert all(fold["saved"]["operators"] > 0 or fold["saved"]["parameters"] > 0 for fold in said["folds"])


@pytest.mark.parametrize("name", ["backbone.onnx", "flow.onnx"])
def test_half_graphs_hold_no_float32_convolution(half_bundle: dict[str, onnx.ModelProto], name: str) -> None:
    model = onnx.shape_inference.infer_shapes(half_bundle[name], data_prop=True)
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.input)}
    kinds |= {t.name: t.data_type for t in model.graph.initializer}
    heavy = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    assert len([n for n in heavy if n.op_type == "Conv"]) > 20
    assert {kinds[i] for node in heavy for i in node.input if i} == {onnx.TensorProto.FLOAT16}
    wide = {"Atan", "Exp", "ReduceSum", "ReduceMean", "Sub", "Div"}
    islands = {i for node in model.graph.node if node.op_type in wide for i in node.input[:1]}
    assert onnx.TensorProto.FLOAT16 not in {kinds.get(i) for i in islands}
    assert model.ir_version <= 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]


def test_half_graphs_keep_names_and_hand_half_features_over(half_bundle: dict[str, onnx.ModelProto]) -> None:
    half, single, uint8 = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    kinds = [
        {v.name: v.type.tensor_type.elem_type for v in ports}
        for model in half_bundle.values()
        for ports in (model.graph.input, model.graph.output)
    ]
    between = {"features_0": half, "features_1": half}
    assert kinds == [{"frame": uint8}, between, between, {"score": single, "anomaly_map": single}]
    readers = [n.op_type for n in half_bundle["backbone.onnx"].graph.node if "frame" in n.input]
    assert readers == ["Cast"]


def test_typed_engine_decides_as_the_trained_model(trained_copy: Path, product_line: Path) -> None:
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    calibration = load_calibration(bundle)
    assert calibration is not None
    paths = [p for folder in sorted((product_line / "test").iterdir()) for p in list_images(folder)]
    pictures = [Frame(preprocess(read_image(p), bundle.manifest.preprocessing)) for p in paths]
    with open_engine(bundle, "torch") as a, open_engine(bundle, "torch-fp16", calibration) as b:
        assert b.name == "torch-fp16"
        whole, half = a.infer(pictures), b.infer(pictures)
    for expected, got in zip(whole, half, strict=True):
        assert got.score == pytest.approx(expected.score, rel=SCORE_TOLERANCE)
        assert got.anomaly_map.dtype == np.float32
        np.testing.assert_allclose(got.anomaly_map, expected.anomaly_map, rtol=0.1, atol=0.05)
        assert calibration.verdict(got.score) is calibration.verdict(expected.score)
