"""`csflow export --int8`: the last graph in INT8, kept only where it decides as the trained model and is faster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.export.gate.pictures import frame_of
from csflow.export.gate.verify import GateReport
from csflow.export.graphs.quantization import MIN_SAMPLES, outputs_of, quantize
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import DataError
from csflow.toolkit.data.dataset import Dataset, Sample

__all__ = ["Int8Outcome", "good_samples", "int8_file", "int8_graph", "judge_int8"]

SAMPLES = 64
"""Good parts that give the ranges; more change them little and cost time."""
ROUNDS = 15
ADVANTAGE = 0.95
"""INT8 must need less than this share of the time of the fastest other precision."""


@dataclass(frozen=True)
class Int8Outcome:
    """Whether the INT8 graph stays, and why."""

    kept: bool
    reason: str
    seconds: dict[str, float]
    """Median seconds a frame of each OpenVINO precision, timed in turn."""


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


def int8_graph(bundle: Bundle, samples: Sequence[Sample]) -> bytes:
    """The last of the float32 graphs of `bundle` in INT8, with ranges from these good parts.

    Raises as `csflow.export.graphs.quantization.quantize` does.
    """
    *before, last = (bundle.read(graph_file("fp32", name)) for name in bundle.manifest.graphs)
    how = bundle.manifest.preprocessing
    seen: list[dict[str, NDArray[Any]]] = [{"frame": frame_of(sample, how).image[None]} for sample in samples]
    for graph in before:
        seen = list(outputs_of(graph, seen))
    return quantize(last, seen)


def judge_int8(bundle: Bundle, report: GateReport) -> Int8Outcome:
    """Whether openvino-int8 passed the gate in `report` and is faster than every other OpenVINO precision that did."""
    record = report.records.get("openvino-int8")
    if record is None or not record.passed:
        problems = record.problems(report.calibration) if record else ["OpenVINO does not run here"]
        return Int8Outcome(False, "; ".join(problems), {})
    names = [name for name, r in report.records.items() if r.passed and name.startswith("openvino-")]
    seconds = _seconds(bundle, names)
    others = {name: s for name, s in seconds.items() if name != "openvino-int8"}
    best = min(others, key=lambda name: others[name])
    share = seconds["openvino-int8"] / others[best]
    return Int8Outcome(share < ADVANTAGE, f"it takes {share:.0%} of the time of {best}", seconds)


def _seconds(bundle: Bundle, names: Sequence[str]) -> dict[str, float]:
    frame = load_golden(bundle).pictures[0][0]
    engines = {name: load_engine(bundle, name) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    try:
        for _ in range(ROUNDS + 1):
            for name, engine in engines.items():
                start = time.perf_counter()
                engine.infer([frame])
                times[name].append(time.perf_counter() - start)
    finally:
        for engine in engines.values():
            engine.close()
    # The first of each is the warm-up.
    return {name: sorted(values[1:])[ROUNDS // 2] for name, values in times.items()}
