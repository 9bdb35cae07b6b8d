"""Equalisation changes what flows inside, and not what comes out."""

import numpy as np
import onnx
import pytest
from onnx import helper

from csflow.export.graphs.int8.equalise import LIMIT, equalise
from csflow.export.graphs.int8.graph_view import GraphView
from csflow.export.graphs.int8.ranges import channel_peaks
from csflow.export.graphs.int8.running import scores_of
from tests.export.graphs.int8.nets import features, head, weight

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")
TENSORS = ["features_0", "h", "large"]


def test_scores_stay_and_channels_come_nearer() -> None:
    model, parts = onnx.load_from_string(head()), features(4)
    before, peaks = scores_of(model, parts), channel_peaks(model, TENSORS, parts)
    after = equalise(model, peaks)
    assert scores_of(model, parts) == pytest.approx(before, rel=1e-5)
    found = channel_peaks(model, TENSORS, parts)
    for name in TENSORS:
        np.testing.assert_allclose(after[name], found[name], rtol=1e-5)
    assert np.ptp(np.log(found["h"])) < 0.6 * np.ptp(np.log(peaks["h"]))
    np.testing.assert_array_equal(found["features_0"], peaks["features_0"])


def test_a_channel_that_was_never_seen_keeps_to_the_limit() -> None:
    model = onnx.load_from_string(head())
    peaks = channel_peaks(model, TENSORS, features(2))
    unseen = {**peaks, "h": np.where(np.arange(32) == 5, 0.0, peaks["h"]).astype(np.float32)}
    before = GraphView(model).values("enter_weight").copy()
    equalise(model, unseen)
    factors = (before / GraphView(model).values("enter_weight"))[:, 0, 0, 0]
    assert factors[5] == pytest.approx(1 / LIMIT, rel=1e-5)
    assert np.median(factors) == pytest.approx(1.0, rel=0.1)


def test_what_something_else_reads_is_left_alone() -> None:
    model = onnx.load_from_string(head())
    model.graph.node.insert(3, helper.make_node("Sigmoid", ["h"], ["other"], "other"))
    model.graph.initializer.append(weight("unused", 16, 16, 1, 1))
    before = model.SerializeToString()
    peaks = channel_peaks(model, TENSORS, features(1))
    assert equalise(model, peaks).keys() == peaks.keys()
    assert model.SerializeToString() == before
