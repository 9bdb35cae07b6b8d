"""`csflow export --int8`: the last graph in INT8, with ranges from good parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.export.graphs.int8.quantize import MIN_SAMPLES, quantize
from csflow.export.graphs.int8.running import outputs_of
from csflow.export.graphs.onnx_export import graph_facts
from csflow.export.graphs.signature import signed
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import DataError
from csflow.toolkit.data.dataset import Dataset, Sample
from csflow.toolkit.data.prepared import one_piece

__all__ = ["good_samples", "int8_file", "int8_graph"]

SAMPLES = 64
"""Good parts that give the ranges; more change them little and cost time."""


def good_samples(dataset: Dataset | None) -> list[Sample]:
    """Pictures of good parts for the ranges, evenly over those of a data set: of the training where it has some.

    Raises DataError where there are too few.
    """
    good = [s for s in (*dataset.train, *dataset.calibration) if s.label == GOOD] if dataset else []
    if len(good) < MIN_SAMPLES:
        found = f"{dataset.root} has {len(good)}" if dataset else "the few golden frames do not"
        raise DataError(f"INT8 needs pictures of at least {MIN_SAMPLES} good parts, {found}: name more with --images")
    count = min(SAMPLES, len(good))
    return [good[i * len(good) // count] for i in range(count)]


def int8_file(bundle: Bundle) -> str:
    """The INT8 graph inside a bundle: the last, whose dense convolutions hold most of the products."""
    return graph_file("int8", bundle.manifest.graphs[-1])


def int8_graph(bundle: Bundle, samples: Sequence[Sample], threshold: float | None = None) -> bytes:
    """The last of the float32 graphs of `bundle` in INT8, fitted to these good parts.

    Args:
        threshold: the lowest score that divides verdicts, where there is one.

    Raises as `csflow.export.graphs.int8.quantize.quantize` does.
    """
    *before, last = (bundle.read(graph_file("fp32", name)) for name in bundle.manifest.graphs)
    how = bundle.manifest.preprocessing
    seen: list[dict[str, NDArray[Any]]] = [
        {"frame": one_piece(sample.path, how, i / len(samples))[None]} for i, sample in enumerate(samples)
    ]
    for graph in before:
        seen = list(outputs_of(graph, seen))
    name = bundle.manifest.graphs[-1]
    made = quantize(last, seen, threshold)
    return signed(made.onnx, name, {**graph_facts(bundle, name, "int8"), **made.facts})
