"""Which range of a tensor is worth rounding to eight bits: scales of the least error, in a chosen norm.

The larger the norm, the less is cut off at the ends: 2 is the mean squared error, infinity the extremes. Which one
serves the score best the score itself tells (Nahshan et al., Loss Aware Post-training Quantization, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from csflow.export.graphs.int8.running import Features, tensors_of

__all__ = ["EXTREMES", "LEVELS", "channel_peaks", "histograms", "least_error", "row_scales"]

LEVELS = 127
"""Largest whole number."""
EXTREMES = math.inf
BINS = 2048
SHARES = np.linspace(0.2, 1.0, 81)
"""Of the extreme: the ranges that are tried."""
TINY = 1e-12


def channel_peaks(
    model: onnx.ModelProto, names: Sequence[str], parts: Sequence[Features]
) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude (C,) of each channel of inner tensors (1, C, h, w), over these parts."""
    peaks: dict[str, NDArray[np.float32]] = {}
    for seen in tensors_of(model, names, parts):
        for name, values in seen.items():
            found = np.abs(values).max(axis=(0, 2, 3))
            peaks[name] = np.maximum(peaks.get(name, found), found)
    return peaks


def histograms(
    model: onnx.ModelProto, tops: Mapping[str, float], parts: Sequence[Features]
) -> dict[str, NDArray[np.float64]]:
    """How often each of `BINS` magnitudes up to the top occurs in inner tensors, over these parts."""
    counts = {name: np.zeros(BINS) for name in tops}
    for seen in tensors_of(model, list(tops), parts):
        for name, values in seen.items():
            counts[name] += np.histogram(np.abs(values), BINS, (0.0, tops[name]))[0]
    return counts


def least_error(counts: NDArray[np.float64], top: float, norm: float) -> float:
    """The scale > 0 of the least error, to the power of `norm`, of magnitudes up to `top` counted in equal bins."""
    if norm == EXTREMES or top <= TINY:
        return max(top, TINY) / LEVELS
    magnitudes = (np.arange(counts.size) + 0.5) * (top / counts.size)

    def error(scale: float) -> float:
        rounded = np.minimum(np.round(magnitudes / scale), LEVELS) * scale
        return float((counts * np.abs(rounded - magnitudes) ** norm).sum())

    scale: float = min(SHARES * (top / LEVELS), key=error)
    return float(scale)


def row_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A scale > 0 (outputs,) for each output of a convolution, by its largest weight: cutting weights gains nothing."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scales: NDArray[np.float32] = (np.maximum(largest, TINY) / LEVELS).astype(np.float32)
    return scales
