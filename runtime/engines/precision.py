"""Which precision a machine computes in: the fastest that the decision gate has passed, measured once, remembered."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from csflow.runtime import schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.contents import Contents
from csflow.runtime.bundle.golden import GOLDEN
from csflow.runtime.bundle.manifest import canonical
from csflow.runtime.engine import BatchEngine, Engine
from csflow.runtime.engines.golden_check import check_golden
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files
from csflow.runtime.engines.trust import record_problem
from csflow.runtime.machine.cache import cache_directory
from csflow.runtime.types import Frame

__all__ = ["ADVANTAGE", "Variants", "choose_precision", "worth_it"]

TIMED_FRAMES = 5
ADVANTAGE = 0.95
"""A precision must need less than this share of the time of every wider one: rounding is not worth it for nothing."""


class Variants(Protocol):
    """A backend that computes one bundle in several precisions."""

    backend: str
    """Its name."""
    precisions: tuple[str, ...]
    """What this machine and this bundle can do; the first is the one to take where nothing speaks for another."""
    setting: dict[str, Any]
    """JSON values for all that the speed depends on besides the graphs: library, processor, options."""

    def open(self, precision: str) -> Engine:
        """An engine of that precision."""


@dataclass(frozen=True)
class _Choice:
    """The precision chosen on this machine, and why; kept in the cache directory."""

    precision: str
    seconds: dict[str, float]
    """Of each precision that was tried."""


def choose_precision(contents: Contents, variants: Variants) -> str:
    """The fastest precision that the decision gate has passed and that changes no golden frame's verdict.

    The choice is made once per graphs, thresholds and `Variants.setting`. Where it cannot be remembered, or there are
    no thresholds, it is the first of `Variants.precisions`. Raises InferenceError, BundleError, BundleCorrupted.
    """
    first, *others = variants.precisions
    calibration, cache = contents.usable_calibration, cache_directory()
    if calibration is None or cache is None:
        return first
    tried = [p for p in others if record_problem(contents, EngineName(variants.backend, p), calibration) == ""]
    if not tried:
        return first
    record = cache / variants.backend / f"precision-{_identity(contents, variants, tried, calibration)}.json"
    if (known := _remembered(record)) in (first, *tried):
        return known
    choice = _measure(contents, variants, tried, calibration)
    try:
        write_atomic(record, schema.dump_json(schema.to_mapping(choice)))
    except OSError:
        # What cannot be remembered would be measured anew at every start, and might come out otherwise.
        return first
    return choice.precision


def _remembered(record: Path) -> str:
    try:
        return schema.from_mapping(_Choice, schema.parse_json(record.read_bytes())).precision
    except (OSError, schema.SchemaError):
        return ""


def _measure(contents: Contents, variants: Variants, tried: Sequence[str], calibration: Calibration) -> _Choice:
    first, golden = variants.precisions[0], contents.golden
    seconds, passed = {}, [first]
    for precision in (first, *tried):
        with variants.open(precision) as engine:
            seconds[precision] = _median_seconds(engine, golden.pictures[0][0])
            if precision != first and check_golden(engine, golden, calibration).passed(engine.name):
                passed.append(precision)
    return _Choice(worth_it({precision: seconds[precision] for precision in passed}), seconds)


def worth_it(seconds: Mapping[str, float]) -> str:
    """The one to take of engines that may decide, from the widest to the narrowest, by the seconds of each."""
    chosen, *others = seconds
    for name in others:
        if seconds[name] < ADVANTAGE * seconds[chosen]:
            chosen = name
    return chosen


def _identity(contents: Contents, variants: Variants, tried: Sequence[str], calibration: Calibration) -> str:
    names = [EngineName(variants.backend, p) for p in (variants.precisions[0], *tried)]
    parts = {
        "files": [engine_files(contents.bundle, name) for name in names],
        "golden": contents.bundle.manifest.files[GOLDEN].sha256,
        "setting": variants.setting,
        "thresholds": [calibration.warn_threshold, calibration.reject_threshold],
        "tried": list(tried),
    }
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:24]


def _median_seconds(engine: Engine, frame: Frame) -> float:
    frames = [frame] * (engine.batch if isinstance(engine, BatchEngine) else 1)
    engine.infer(frames)
    seconds = []
    for _ in range(TIMED_FRAMES):
        start = time.perf_counter()
        engine.infer(frames)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[TIMED_FRAMES // 2]
