"""Equalisation: channels of very different ranges share one scale, so the range moves into the weights beside them.

Between two convolutions with nothing but a rectifier and an enlargement, a channel may be divided by a factor in the
first and multiplied by it in the second: both commute with factors > 0, so the graph computes the same. The factors
take the square root of what is uneven out of what flows and leave the other root to the weights, which have a scale
for each output (Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019; Xiao et
al., SmoothQuant, 2023). In a flow these are the sub-networks of its couplings, across the scales that they join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from csflow.export.graphs.int8.graph_view import GraphView

__all__ = ["equalise"]

COMMUTING = ("LeakyRelu", "Relu")
LIMIT = 16.0
"""Largest factor: a channel that was hardly ever seen must not get a range that it never needed."""
TINY = 1e-12


def equalise(model: onnx.ModelProto, peaks: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Change the weights in place; the scores stay, to float32's rounding.

    Args:
        peaks: the largest magnitude of each channel (C,) of what flows into the dense convolutions, by tensor.

    Returns the peaks afterwards.
    """
    view = GraphView(model)
    after = dict(peaks)
    for first in view.dense():
        following = view.readers(first.output[0])
        if len(following) != 1 or following[0].op_type not in COMMUTING:
            continue
        hidden = following[0].output[0]
        joined = _joined(view, hidden)
        if joined is not None:
            convolutions, tensors = joined
            factors = _factors(peaks[hidden], [view.values(node.input[1]) for node in convolutions])
            _move(view, first, convolutions, factors)
            after |= {name: after[name] / factors for name in tensors if name in after}
    return after


def _joined(view: GraphView, tensor: str) -> tuple[list[onnx.NodeProto], list[str]] | None:
    """The convolutions that a tensor ends in, and the tensors on the way; None where anything else reads it."""
    convolutions, tensors = [], [tensor]
    for name in tensors:
        for node in view.readers(name):
            if node.op_type == "Resize":
                tensors.append(node.output[0])
            elif node.op_type == "Conv":
                convolutions.append(node)
            else:
                return None
    return convolutions, tensors


def _factors(peaks: NDArray[np.float32], weights: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What each channel is divided by, (C,), around 1."""
    wanted = np.maximum(peaks, TINY) / np.maximum(np.max([_weight_peaks(w) for w in weights], axis=0), TINY)
    logarithms = 0.5 * np.log(wanted)
    factors: NDArray[np.float32] = np.exp(logarithms - np.median(logarithms)).clip(1.0 / LIMIT, LIMIT)
    return factors.astype(np.float32)


def _weight_peaks(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest weight of each input (C,), as a share of its output's largest, which sets the scale."""
    magnitudes = np.abs(weight).max(axis=(2, 3))
    peaks: NDArray[np.float32] = (magnitudes / np.maximum(magnitudes.max(axis=1, keepdims=True), TINY)).max(axis=0)
    return peaks


def _move(
    view: GraphView, first: onnx.NodeProto, following: Sequence[onnx.NodeProto], factors: NDArray[np.float32]
) -> None:
    view.put(first.input[1], view.values(first.input[1]) / factors[:, None, None, None])
    if len(first.input) > 2:
        view.put(first.input[2], view.values(first.input[2]) / factors)
    for node in following:
        view.put(node.input[1], view.values(node.input[1]) * factors[None, :, None, None])
