"""Scales by the error that rounding makes."""

import numpy as np
import onnx
import pytest

from csflow.export.graphs.int8.ranges import (
    EXTREMES,
    LEVELS,
    channel_peaks,
    histograms,
    least_error,
    row_scales,
)
from csflow.export.graphs.int8.running import tensors_of
from tests.export.graphs.int8.nets import features, head

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")


def test_peaks_and_counts_are_those_of_all_parts() -> None:
    model, parts = onnx.load_from_string(head()), features(3)
    seen = np.concatenate([tensors["h"] for tensors in tensors_of(model, ["h"], parts)])
    peaks = channel_peaks(model, ["h"], parts)["h"]
    np.testing.assert_array_equal(peaks, np.abs(seen).max(axis=(0, 2, 3)))
    top = float(peaks.max())
    counts = histograms(model, {"h": top}, parts)["h"]
    assert counts.sum() == seen.size
    assert counts[-1] >= 1
    assert counts[: counts.size // 2].sum() == (np.abs(seen) < top / 2).sum()


def test_the_larger_the_norm_the_less_is_cut_off() -> None:
    rare = np.zeros(2048)
    rare[:400], rare[-1] = 1000.0, 1.0
    narrow, wider, extreme = (least_error(rare, 10.0, norm) for norm in (2.0, 4.0, EXTREMES))
    assert narrow < wider <= extreme == 10.0 / LEVELS
    assert narrow > 10.0 * 400 / 2048 / LEVELS * 0.9, "what is common is not cut off"


def test_what_never_varies_has_a_scale_all_the_same() -> None:
    assert least_error(np.zeros(8), 0.0, 2.0) > 0
    scales = row_scales(np.zeros((3, 2, 1, 1), np.float32))
    assert (scales > 0).all()
    weight = np.array([[1.0, -2.54]], np.float32).reshape(1, 2, 1, 1)
    assert row_scales(weight) == pytest.approx([0.02])
