"""FP16 that silently became FP32 is found: in graphs, in the engine inspector of TensorRT 10 and 11, in the RTX log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from csflow.export.plans.graph_products import Product, graph_products
from csflow.export.plans.layers import EngineLayer, Tensor, parse_build_log, parse_inspector
from csflow.export.plans.plan import build_plan
from csflow.export.plans.precision_audit import audit_plan, half_share, require_half_graph
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, PlanAudit
from csflow.runtime.errors import ConfigError, EngineError

GraphBytes = Callable[..., bytes]
FIRST, REST = 8 * 8 * 4 * 27, 8 * 8 * 4 * 36
"""Multiply-accumulates of the first convolution of the tiny backbone, and of each of the others."""

# The structure is that of the documents of TensorRT 10.16 and of its migration guide to 11; the values are ours.
JSON_10 = json.dumps(
    {
        "Layers": [
            {
                "Name": "Reformatting CopyNode for Input Tensor 0 to conv0",
                "LayerType": "Reformat",
                "Inputs": [{"Name": "frame", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
                "Outputs": [{"Name": "r", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Channel major FP16 format"}],
                "ParameterType": "Reformat",
                "TacticValue": "0x00000000000003e8",
                "Metadata": "",
            },
            {
                "Name": "conv0 + relu",
                "LayerType": "CaskConvolution",
                "Inputs": [
                    {
                        "Name": "r",
                        "Dimensions": [1, 3, 8, 8],
                        "Format/Datatype": "Channel major FP16 format where C % 8 == 0",
                    }
                ],
                "Outputs": [{"Name": "y", "Dimensions": [1, 4, 8, 8], "Format/Datatype": "Channel major FP16 format"}],
                "ParameterType": "Convolution",
                "Weights": {"Type": "Half", "Count": 108},
                "Bias": {"Type": "Half", "Count": 4},
                "TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc",
                "Metadata": "[ONNX Layer: conv0]\u001e[ONNX Layer: relu]",
            },
        ],
        "Bindings": ["frame", "y"],
    }
)
JSON_11 = json.dumps(
    {
        "Layers": [
            {
                "Name": "conv0_myl0_1",
                "LayerType": "correlation",
                "Inputs": [
                    {"Name": "r", "Dimensions": [1, 3, 8, 8], "Format": "Channel major (NHWC)", "Datatype": "Half"}
                ],
                "Constants": [{"Name": "w", "Dimensions": [4, 3, 3, 3], "Format": "Linear", "Datatype": "Float"}],
                "Outputs": [{"Name": "y", "Dimensions": [1, 4, 8, 8], "Format": "Channel major", "Datatype": "Half"}],
                "TacticName": "x",
                "StreamId": 0,
                "Metadata": "[ONNX Layer: conv0]",
            }
        ],
        "I/O Tensors": [{"Name": "frame", "IOMode": "Input", "DataType": "Float", "Dimensions": [1, 3, 8, 8]}],
    }
)
LOG = """Layers:
Name: __myl_Cast_0, LayerType: kgen, \
Inputs: [ { Name: frame, Dimensions: [1,8,8,3], Datatype: UInt8, Format: (Linear) }], \
Constants: [], Outputs: [ { Name: a, Dimensions: [1,4,8,8], Datatype: Half, Format: (NHWC) }], \
TacticName: x, StreamId: 0, Metadata: [ONNX Layer: cast][ONNX Layer: conv0]
 Name: conv0_1, LayerType: correlation, \
Inputs: [ { Name: a, Dimensions: [-1,4,8,8], Datatype: Half, Format: (NHWC) }], \
Constants: [ { Name: w, Dimensions: [4,4,3,3], Datatype: Half, Format: (NHWC) }, \
{ Name: s, Dimensions: [1], Datatype: Float, Format: (Linear) }], \
Outputs: [ { Name: y, Dimensions: [1,4,8,8], Datatype: Half, Format: (NHWC) }], \
TacticName: __CASK, StreamId: 0, Metadata: [ONNX Layer: conv0]

I/O Tensors:
 Name: frame, IOMode: Input
"""


def products_of(data: bytes) -> tuple[Product, ...]:
    return graph_products(data, "x.onnx")


def test_products_of_a_graph(graph_bytes: GraphBytes) -> None:
    found = products_of(graph_bytes(islands=1))
    assert [p.macs for p in found] == [FIRST, REST, REST, REST]
    assert [p.is_half for p in found] == [True, True, True, False]
    assert half_share(found) == pytest.approx((FIRST + 2 * REST) / (FIRST + 3 * REST))
    assert half_share(()) == 0


def test_matrix_products_and_transposed_convolutions() -> None:
    kinds = {"a": [2, 3, 5], "b": [2, 5, 7], "g": [5, 4], "h": [5, 6], "t": [1, 4, 8, 8]}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in kinds.items()]
    stored = [numpy_helper.from_array(np.zeros((4, 3, 2, 2), np.float32), "w")]
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["m"], name="matmul"),
        helper.make_node("Gemm", ["g", "h"], ["n"], name="gemm", transA=1),
        helper.make_node("ConvTranspose", ["t", "w"], ["u"], name="up", strides=[2, 2]),
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "mnu"]
    model = helper.make_model(helper.make_graph(nodes, "g", ports, results, stored), ir_version=10)
    macs = {p.name: p.macs for p in products_of(model.SerializeToString())}
    assert macs == {"matmul": 2 * 3 * 7 * 5, "gemm": 4 * 6 * 5, "up": 4 * 8 * 8 * 3 * 4}


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "unknown shape"])
def test_a_graph_that_cannot_be_judged(graph_bytes: GraphBytes, damage: str) -> None:
    whole = graph_bytes()
    unknown = onnx.load_model_from_string(whole)
    unknown.graph.node[2].op_type = "Frobnicate"
    data = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "foreign": b"GIF89a",
        "unknown shape": unknown.SerializeToString(),
    }[damage]
    with pytest.raises(ConfigError, match="run 'csflow export' again"):
        products_of(data)


def test_a_graph_called_half_must_be_half(graph_bytes: GraphBytes) -> None:
    require_half_graph(products_of(graph_bytes()), "flow.onnx")
    with pytest.raises(EngineError, match=r"'conv3' \(Conv\) in FLOAT"):
        require_half_graph(products_of(graph_bytes(islands=1)), "flow.onnx")
    with pytest.raises(EngineError, match=r"flow\.onnx does 0\.0%"):
        require_half_graph(products_of(graph_bytes(half=False)), "flow.onnx")
    require_half_graph((), "joined.onnx")


def test_the_inspector_of_tensorrt_10() -> None:
    copy, convolution = parse_inspector(JSON_10)
    assert copy.nodes == ()
    assert convolution == EngineLayer(
        "conv0 + relu", "CaskConvolution", ("conv0", "relu"), (Tensor("half", 192),), (Tensor("half", 108),)
    )


def test_the_inspector_of_tensorrt_11() -> None:
    (layer,) = parse_inspector(JSON_11)
    assert layer == EngineLayer(
        "conv0_myl0_1", "correlation", ("conv0",), (Tensor("half", 192),), (Tensor("float", 108),)
    )


def test_the_build_log_of_rtx() -> None:
    first, second = parse_build_log(LOG)
    assert first.inputs == (Tensor("", 192),)
    assert first.nodes == ("cast", "conv0")
    assert second == EngineLayer(
        "conv0_1", "correlation", ("conv0",), (Tensor("half", 256),), (Tensor("half", 144), Tensor("float", 1))
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"Layers": ["conv0", "conv1"]}', "not JSON"])
def test_an_inspector_without_details(text: str) -> None:
    assert parse_inspector(text) == ()


HALF, FLOAT = Tensor("half", 64), Tensor("float", 64)


def layer(node: str, *inputs: Tensor, weights: Tensor = HALF) -> EngineLayer:
    return EngineLayer(node, "correlation", (node,), inputs, (weights, Tensor("float", 1)))


BIG, SMALL = Product("big", "Conv", "FLOAT16", 95), Product("small", "Conv", "FLOAT16", 5)
ISLAND = Product("island", "Conv", "FLOAT", 5)


def test_layers_as_the_graph_says() -> None:
    layers = [layer("big", HALF), layer("island", FLOAT, weights=FLOAT)]
    assert audit_plan((BIG, ISLAND), layers, "build log", "plan") == PlanAudit(0.95, 0.95, "build log")


def test_a_product_that_became_float_is_named() -> None:
    layers = [layer("big", HALF), layer("small", FLOAT, weights=FLOAT)]
    with pytest.raises(
        EngineError, match=r"the flow plan does 95\.0%.* graph says 100\.0%; .*'small' \(Conv\), in float"
    ):
        audit_plan((BIG, SMALL), layers, "build log", "the flow plan")


def test_a_product_that_is_float_in_one_of_its_layers_is_float() -> None:
    with pytest.raises(EngineError, match="'big'"):
        audit_plan((BIG,), [layer("big", HALF), layer("big", FLOAT, weights=FLOAT)], "build log", "plan")


def test_what_clamps_and_pads_before_a_product_is_not_the_product() -> None:
    # As TensorRT for RTX 1.7.1 prepares the features of PaDiM's triangles: float numbers below float bounds.
    prepared = EngineLayer("MinConcCastSlic", "kgen", ("big", "clamp"), (FLOAT,), (FLOAT, Tensor("half", 8)))
    assert audit_plan((BIG,), [prepared, layer("big", HALF)], "build log", "plan").half_in_plan == 1.0
    with pytest.raises(EngineError, match="'big'"):
        audit_plan((BIG,), [prepared, layer("big", FLOAT, weights=FLOAT)], "build log", "plan")
    with pytest.raises(EngineError, match="'big'"):
        audit_plan((BIG,), [prepared], "build log", "plan")


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (layer("other", HALF),),
        (layer("big", Tensor("", 64)),),
        (EngineLayer("big", "kgen", ("big",), (FLOAT,), ()),),
        (layer("small", HALF),),
    ],
)
def test_layers_that_tell_too_little_are_no_evidence(layers: tuple[EngineLayer, ...]) -> None:
    assert audit_plan((BIG, SMALL), layers, "build log", "plan") == PlanAudit(1.0, None, "typed graph")


def audited(library: Library, built_from: bytes, judged_by: bytes) -> PlanAudit:
    built = build_plan(library, "backbone", built_from, BuildOptions(), lambda _share, _phase: None)
    return audit_plan(products_of(judged_by), built.layers, built.source, "the backbone plan")


def test_real_plans_keep_the_types_of_their_graphs(rtx: Library, graph_bytes: GraphBytes) -> None:
    for graph, share in ((graph_bytes(), 1), (graph_bytes(backbone=False), 1), (graph_bytes(half=False), 0)):
        assert audited(rtx, graph, graph) == PlanAudit(share, share, "build log")
    mixed = graph_bytes(islands=1)
    assert audited(rtx, mixed, mixed).half_in_plan == pytest.approx(half_share(products_of(mixed)))


def test_a_real_float_plan_does_not_pass_for_half(rtx: Library, graph_bytes: GraphBytes) -> None:
    with pytest.raises(EngineError, match=r"the backbone plan does 0\.0% .* in float"):
        audited(rtx, graph_bytes(half=False), graph_bytes())


@pytest.mark.parametrize("version", ["10.3", "11.4"])
def test_a_full_tensorrt_that_falls_back_to_float(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, version: str
) -> None:
    full_tensorrt(version)
    assert audited(load_library(), graph_bytes(), graph_bytes()) == PlanAudit(1.0, 1.0, "engine inspector")
    full_tensorrt(version, layer_type="float")
    with pytest.raises(EngineError, match="in float"):
        audited(load_library(), graph_bytes(), graph_bytes())
