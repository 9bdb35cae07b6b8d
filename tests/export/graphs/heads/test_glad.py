"""The GLAD graph: a logarithm of a sum that every runtime takes alike, a selection, and no number out of no number."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from csflow.export.graphs.half import SUM_LIMIT
from csflow.export.graphs.heads.glad import HalfBlocks, glad_graph
from csflow.export.graphs.onnx_export import to_onnx
from csflow.toolkit.methods.glad.config import GladConfig
from csflow.toolkit.methods.glad.head import NEVER, GladHead

SHAPES = ((6, 16, 16), (70, 8, 8))


@pytest.fixture(scope="module")
def head() -> GladHead:
    draw = torch.Generator().manual_seed(0)
    made = GladHead(GladConfig(components=4, kept=(4, 3)), SHAPES)
    for layer, (c, h, w) in zip(made.layers(), SHAPES, strict=True):
        layer.get_buffer("mean").copy_(torch.rand(c, 1, 1, generator=draw))
        triangles = (18.0 / c * torch.randn(layer.kept, c, c, generator=draw)).tril()
        layer.get_buffer("matrix").copy_(triangles.reshape(layer.kept * c, c, 1, 1))
        layer.get_buffer("offset").copy_(torch.randn(layer.kept * c, generator=draw))
        weights = torch.rand(layer.kept, h, w, generator=draw)
        weights[1, : h // 2] = 0.0
        layer.get_buffer("log_weights").copy_((weights / weights.sum(dim=0)).log().clamp(min=NEVER))
        layer.get_buffer("peaks").copy_(torch.randn(layer.kept, generator=draw))
    return made.eval()


def scored_by(head: GladHead, deepest: int) -> GladHead:
    """The same head, its score read from so many maps."""
    made = GladHead(dataclasses.replace(head.config, score_maps=deepest), SHAPES)
    made.load_state_dict(head.state_dict())
    return made.eval()


def features() -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.normal(size=(2, *shape)).astype(np.float32) for shape in SHAPES]


def test_the_sum_of_exponentials_is_written_out_and_one_selection_is_in_the_graph(head: GladHead) -> None:
    graph = onnx.load_from_string(to_onnx(glad_graph(head, SHAPES))).graph
    # A length would be a constant of the graph, where a size is not.
    assert {port.type.tensor_type.shape.dim[0].dim_param for port in graph.input} == {"batch"}
    operators = [node.op_type for node in graph.node]
    assert "ReduceLogSumExp" not in operators
    assert operators.count("TopK") == 1
    # Of 70 channels blocks of 16, 32, 48, 64 and 70 are multiplied, of 6 all at once.
    assert operators.count("MatMul") == 1 + 5


@pytest.mark.parametrize("deepest", [0, 1])
def test_openvino_gives_what_torch_gives_and_no_score_for_what_is_no_number(head: GladHead, deepest: int) -> None:
    head = scored_by(head, deepest)
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    core = openvino.Core()
    model = core.read_model(to_onnx(glad_graph(head, SHAPES)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = features()
    with torch.inference_mode():
        expected = head(*map(torch.from_numpy, inputs))
    for got, wanted in zip(compiled(inputs).values(), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    for spoilt in range(len(SHAPES)):
        inputs = features()
        inputs[spoilt][1, 2, 3, 3] = np.nan
        score, anomaly_map = compiled(inputs).values()
        assert np.isnan(score).tolist() == [False, True]
        assert np.isnan(anomaly_map[1]).any()


def test_sums_of_products_in_half_stay_in_range_whatever_comes(head: GladHead) -> None:
    layers = glad_graph(head, SHAPES, "fp16").module.layers()
    for layer, (c, _, _) in zip(layers, SHAPES, strict=True):
        assert isinstance(layer, HalfBlocks)
        for i in range(len(layer.edges) - 1):
            weights = layer.get_buffer(f"block_{i}").float().abs().sum(dim=0)
            largest = layer.narrow.bound * weights + layer.get_buffer(f"offset_{i}").float().abs()
            assert float(largest.max()) <= SUM_LIMIT * 1.001
        # Its square over all channels, halved, is above the logarithm of a weight of nothing.
        assert -c * SUM_LIMIT**2 / 2 > NEVER / 1e6


def test_half_precision_leaves_the_head_as_it_is(head: GladHead) -> None:
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    half = glad_graph(head, SHAPES, "fp16").module
    with torch.inference_mode():
        exact, rounded = (m(*map(torch.from_numpy, features()))[0] for m in (head, half))
    torch.testing.assert_close(rounded, exact, rtol=1e-2, atol=0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in head.state_dict().items())
