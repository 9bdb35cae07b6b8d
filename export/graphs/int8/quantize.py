"""INT8 for the dense convolutions of a graph, so that the score of a good part moves as little as can be.

The result is the same ONNX with QuantizeLinear/DequantizeLinear before each dense convolution: one scale per output
channel of the weights, one per tensor for what flows in, all zero points 0 (TensorRT takes no others), bias, sums and
everything else in float32. OpenVINO and TensorRT read the same file.

    equalised      uneven channels are evened out between neighbouring convolutions, exactly
    ranges         by the norm of the error that serves the score best, out of `NORMS`
    wide           where the error passes the budget: what contributes most stays in float32
    score          less what rounding adds to it on average (noise in z adds its power to z², whatever its sign)

Half of the good parts give the ranges, the other half tell what they do to the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from csflow.export.graphs.int8.equalise import equalise
from csflow.export.graphs.int8.graph_view import GraphView
from csflow.export.graphs.int8.ranges import EXTREMES, channel_peaks, histograms, least_error
from csflow.export.graphs.int8.rounded import lowered
from csflow.export.graphs.int8.running import Features, scores_of
from csflow.export.graphs.int8.search import Trial, contributions, narrowest, tried
from csflow.runtime.engines.golden_check import BAND
from csflow.runtime.errors import CalibrationError, EngineError

__all__ = ["MIN_SAMPLES", "Quantized", "quantize"]

MIN_SAMPLES = 8
"""Fewest good parts whose ranges are worth the name."""
NORMS = (EXTREMES, 4.0, 2.0)


@dataclass(frozen=True)
class Quantized:
    """A graph in INT8, and what is known of it."""

    onnx: bytes
    convolutions: int
    """Dense ones."""
    wide: int
    """Those of them that stay in float32."""
    worst: float
    """The largest change of a good part's score."""
    budget: float
    """What it was to keep within: no part whose score changes by less has another verdict outside the band."""

    @property
    def facts(self) -> dict[str, str]:
        """For the graph's signature."""
        done = self.convolutions - self.wide
        told = f"{done} of {self.convolutions} dense convolutions"
        return {"int8": f"{told}; scores of good parts within {self.worst:.2g}, budget {self.budget:.2g}"}


def quantize(onnx_data: bytes, parts: Sequence[Features], threshold: float | None = None) -> Quantized:
    """A head's graph with explicit INT8 on its dense convolutions.

    Args:
        onnx_data: the float32 graph, with an output `score` (N,).
        parts: features of good parts, each by input name, (1, C, h_i, w_i) float32.
        threshold: the lowest score that divides verdicts; None takes the largest score of these parts for it.

    Raises:
        CalibrationError: fewer than `MIN_SAMPLES` parts, or features that are not finite.
        BackendUnavailable: ONNX Runtime is not installed.
        EngineError: it cannot run the graph, or the graph has no dense convolution.
    """
    if len(parts) < MIN_SAMPLES:
        raise CalibrationError(
            f"INT8 ranges need pictures of at least {MIN_SAMPLES} good parts, got {len(parts)}: bring more"
        )
    if not all(np.isfinite(values).all() for part in parts for values in part.values()):
        raise CalibrationError("a feature is not finite, so no INT8 range can rest on it: look at the pictures")
    model = onnx.load_from_string(onnx_data)
    dense = GraphView(model).dense()
    if not dense:
        raise EngineError("the graph has no dense convolution: there is nothing to quantize")
    trial, budget = _best(model, parts[::2], parts[1::2], threshold)
    lowered(trial.model, trial.shift)
    onnx.checker.check_model(trial.model, full_check=True)
    wide = sum(node.input[0] in trial.wide for node in dense)
    return Quantized(trial.model.SerializeToString(), len(dense), wide, trial.worst, budget)


def _best(
    model: onnx.ModelProto, ranging: Sequence[Features], judging: Sequence[Features], threshold: float | None
) -> tuple[Trial, float]:
    expected = scores_of(model, judging)
    tensors = list(dict.fromkeys(node.input[0] for node in GraphView(model).dense()))
    peaks = equalise(model, channel_peaks(model, tensors, ranging))
    tops = {name: float(peaks[name].max()) for name in tensors}
    counts = histograms(model, tops, ranging)
    scales = [{name: least_error(counts[name], tops[name], norm) for name in tensors} for norm in NORMS]
    trials = [tried(model, scale, (), judging, expected) for scale in scales]
    best = min(range(len(NORMS)), key=lambda i: trials[i].spread)
    budget = BAND * (float(expected.max()) if threshold is None else threshold)
    if trials[best].worst <= budget:
        return trials[best], budget
    ranked = list(contributions(model, scales[best], judging, expected))

    def trial(wide: Sequence[str]) -> Trial:
        return tried(model, scales[best], wide, judging, expected)

    return narrowest(trials[best], ranked, budget, trial), budget
