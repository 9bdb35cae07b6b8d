"""Outputs, inner tensors and scores are those that the graph computes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from csflow.export.graphs.int8.running import outputs_of, scores_of, tensors_of
from csflow.runtime.errors import EngineError
from tests.export.graphs.int8.nets import features, head

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")


def test_features_are_those_of_the_backbone_graph() -> None:
    nodes = [
        helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["features_0"], perm=[0, 3, 1, 2]),
    ]
    inputs = [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["batch", 4, 4, 3])]
    outputs = [helper.make_tensor_value_info("features_0", TensorProto.FLOAT, ["batch", 3, 4, 4])]
    graph = helper.make_graph(nodes, "backbone", inputs, outputs)
    backbone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    frame = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    (got,) = outputs_of(backbone.SerializeToString(), [{"frame": frame[None]}])
    np.testing.assert_array_equal(got["features_0"][0], frame.transpose(2, 0, 1))
    with pytest.raises(EngineError, match="export again"):
        outputs_of(b"no graph", [])


def test_inner_tensors_and_scores() -> None:
    model, parts = onnx.load_from_string(head()), features(2)
    before = model.SerializeToString()
    seen = list(tensors_of(model, ["features_0", "z"], parts))
    np.testing.assert_array_equal(seen[1]["features_0"], parts[1]["features_0"])
    assert scores_of(model, parts) == pytest.approx([float((s["z"] ** 2).mean()) for s in seen], rel=1e-5)
    assert model.SerializeToString() == before, "the model is left as it is"
