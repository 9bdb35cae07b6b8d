"""Convolutions that stay in float32: those whose rounding moves the score most, until the rest keeps within a budget.

What a convolution contributes is measured as it counts: the graph is run with it alone in INT8, and the score of good
parts is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from csflow.export.graphs.int8.graph_view import GraphView
from csflow.export.graphs.int8.rounded import rounded
from csflow.export.graphs.int8.running import Features, scores_of

__all__ = ["Trial", "contributions", "narrowest", "tried"]

PARTS = 8
"""Good parts that a convolution's contribution is measured on."""


@dataclass(frozen=True)
class Trial:
    """A rounded graph, and what rounding does to the scores of good parts."""

    model: onnx.ModelProto
    wide: tuple[str, ...]
    """Tensors whose convolutions stay in float32."""
    errors: NDArray[np.float64]
    """Score less that of float32, of each part."""

    @property
    def shift(self) -> float:
        """What the score rises by on average, for `csflow.export.graphs.int8.rounded.lowered`."""
        return float(self.errors.mean())

    @property
    def spread(self) -> float:
        """Root mean square of the error that is left when the shift is taken off."""
        return float(self.errors.std())

    @property
    def worst(self) -> float:
        """The largest magnitude of that."""
        return float(np.abs(self.errors - self.shift).max())


def tried(
    model: onnx.ModelProto,
    scales: Mapping[str, float],
    wide: Collection[str],
    parts: Sequence[Features],
    expected: NDArray[np.float64],
) -> Trial:
    """The graph with these scales, run on good parts whose scores in float32 are `expected`."""
    made = rounded(model, scales, wide)
    return Trial(made, tuple(wide), scores_of(made, parts) - expected)


def contributions(
    model: onnx.ModelProto, scales: Mapping[str, float], parts: Sequence[Features], expected: NDArray[np.float64]
) -> dict[str, float]:
    """How much the score moves, on average, where the convolutions of one tensor alone are in INT8; largest first."""
    tensors = list(dict.fromkeys(node.input[0] for node in GraphView(model).dense()))
    few = slice(0, PARTS)
    moved = {}
    for tensor in tensors:
        others = [name for name in tensors if name != tensor]
        errors = tried(model, scales, others, parts[few], expected[few]).errors
        moved[tensor] = float(np.abs(errors).mean())
    return dict(sorted(moved.items(), key=lambda item: -item[1]))


def narrowest(first: Trial, ranked: Sequence[str], budget: float, trial: Callable[[Sequence[str]], Trial]) -> Trial:
    """The trial with the fewest wide tensors, doubled from 1 to half of them, whose error keeps within the budget.

    Args:
        first: with nothing wide.
        ranked: tensors by what they contribute, largest first.
        budget: for `Trial.worst`.
        trial: makes one with these tensors wide.

    The best there was where none keeps within it: the gate judges it all the same.
    """
    best, count = first, 1
    while best.worst > budget and count <= len(ranked) // 2:
        best = min(best, trial(ranked[:count]), key=lambda found: found.worst)
        count *= 2
    return best
