"""Q/DQ where it belongs, and a score that keeps its order."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from csflow.export.graphs.int8.rounded import lowered, rounded
from csflow.export.graphs.int8.running import scores_of, tensors_of
from tests.export.graphs.int8.nets import features, head

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")
SCALES = {"features_0": 0.04, "h": 0.1, "large": 0.1}


def test_what_flows_is_rounded_once_for_all_that_read_it_and_not_what_stays_wide() -> None:
    model = onnx.load_from_string(head())
    made = rounded(model, SCALES, wide=("large",))
    onnx.checker.check_model(made, full_check=True)
    inputs = {node.name: node.input[0] for node in made.graph.node if node.op_type == "Conv"}
    assert inputs["enter"] == "features_0/rounded"
    assert inputs["leave"] == "h/rounded"
    assert inputs["up"] == "large"
    part = features(1)
    (seen,) = tensors_of(made, ["features_0", "features_0/rounded"], part)
    whole = np.round(seen["features_0"] / np.float32(0.04)).clip(-128, 127)
    np.testing.assert_allclose(seen["features_0/rounded"], whole * np.float32(0.04), rtol=1e-6)
    assert "enter_weight" in {t.name for t in model.graph.initializer}, "the model is left as it is"


def test_weights_are_whole_numbers_next_to_those_they_came_from() -> None:
    model = onnx.load_from_string(head())
    before = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    stored = {t.name: numpy_helper.to_array(t) for t in rounded(model, SCALES).graph.initializer}
    scale = stored["leave_weight/scale"][:, None, None, None]
    assert stored["leave_weight/whole"].dtype == np.int8
    assert "leave_weight" not in stored
    assert (np.abs(stored["leave_weight/whole"] * scale - before["leave_weight"]) <= scale * 0.501).all()


@pytest.mark.parametrize("share", [0.01, -0.01, 5.0])
def test_the_score_is_lowered_stays_positive_and_keeps_its_order(share: float) -> None:
    model, parts = onnx.load_from_string(head()), features(6)
    before = scores_of(model, parts)
    shift = float(share * before.mean())
    lowered(model, shift)
    onnx.checker.check_model(model, full_check=True)
    after = scores_of(model, parts)
    assert after == pytest.approx(np.maximum(before - shift, before / 2), rel=1e-5)
    assert (np.argsort(after) == np.argsort(before)).all()
    assert (after > 0).all()
