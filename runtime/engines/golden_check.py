"""Whether an engine agrees with the trained model on the golden frames: scored once, before it decides anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.golden import SMALL, GoldenFrame, GoldenSet, means
from csflow.runtime.engine import Engine
from csflow.runtime.engines.name import EngineName
from csflow.runtime.errors import EngineMismatch

__all__ = [
    "BAND",
    "TOLERANCES",
    "TOLERANCES_FORMAT_1",
    "GoldenCheck",
    "Tolerances",
    "check_golden",
    "golden_problems",
    "require_golden",
    "tolerances",
]


@dataclass(frozen=True)
class Tolerances:
    """Largest errors on the golden frames."""

    score: float
    """Of a score, as a share of `GoldenSet.unit`."""
    map: float
    """Of a map: sum of |map - expected| as a share of the sum of expected."""


TOLERANCES = {
    "fp32": Tolerances(1e-3, 1e-3),
    "fp16": Tolerances(1e-1, 2e-2),
    "bf16": Tolerances(2.5e-1, 1e-1),
    "int8": Tolerances(5e-1, 1.5e-1),
}
"""What each precision explains, in bundles that know the spread of good scores: what the decision gate asks for."""
AT_START = Tolerances(2.5e-1, 1e-1)
"""The least that is allowed at a start, where the machine or the library may be another one; a wrong colour order or a
mirrored map exceeds it by far."""
TOLERANCES_FORMAT_1 = {
    "fp32": Tolerances(1e-4, 1e-3),
    "fp16": Tolerances(1e-2, 2e-2),
    "bf16": Tolerances(5e-2, 1e-1),
    "int8": Tolerances(1e-1, 1.5e-1),
}
"""The same in bundles that do not, whose errors are shares of the score."""
AT_START_FORMAT_1 = Tolerances(5e-2, 1e-1)
BAND = 0.005
"""Relative distance to a threshold within which a verdict may differ: neither side is surer than that. A threshold is
itself a good part's score, and that part may be a golden frame."""


@dataclass(frozen=True)
class GoldenCheck:
    """How an engine did on the golden frames."""

    frames: int
    flips: int
    """Frames whose verdict differs from the trained model's, those left out whose two scores lie within `BAND` around
    a threshold; 0 where the bundle is not calibrated."""
    score_error: float
    """Largest |score - expected| as a share of `GoldenSet.unit`; infinite where a score is not finite."""
    map_error: float
    """Largest sum of |map - expected| over the sum of expected; infinite for a map of another shape."""
    by_spread: bool = False
    """Whether the bundle knows the spread of good scores."""

    def passed(self, engine_name: str) -> bool:
        """Whether an engine of this name may start: no verdict differs, scores and maps are within what is allowed."""
        least = AT_START if self.by_spread else AT_START_FORMAT_1
        own = tolerances(engine_name, self.by_spread)
        close = self.score_error <= max(least.score, own.score) and self.map_error <= max(least.map, own.map)
        return close and self.flips == 0


def tolerances(engine_name: str, by_spread: bool) -> Tolerances:
    """What the precision in the engine's name explains; of several the narrowest counts.

    Args:
        by_spread: whether errors of scores are shares of the spread of good scores (format 2).
    """
    table, other = (TOLERANCES, AT_START) if by_spread else (TOLERANCES_FORMAT_1, AT_START_FORMAT_1)
    return table.get(EngineName.parse(engine_name).narrowest, other)


def golden_problems(engine_name: str, score_error: float, map_error: float, by_spread: bool) -> list[str]:
    """What the decision gate finds wrong with these largest errors on the golden frames; empty where nothing is."""
    limits = tolerances(engine_name, by_spread)
    share = " of the spread of good scores" if by_spread else ""
    problems = []
    if not score_error <= limits.score:
        problems.append(
            f"a score on the golden frames is off by {score_error:.2%}{share}, at most {limits.score:.2%} is rounding"
        )
    if not map_error <= limits.map:
        problems.append(f"a map on the golden frames is off by {map_error:.2%}, at most {limits.map:.2%} is rounding")
    return problems


def check_golden(engine: Engine, golden: GoldenSet, calibration: Calibration | None) -> GoldenCheck:
    """Score the golden frames one by one and compare. Raises InferenceError when the engine fails."""
    flips, score_error, map_error = 0, 0.0, 0.0
    for frame, expected in golden:
        (got,) = engine.infer([frame])
        score_error = max(score_error, _score_error(got.score, expected.score, golden))
        map_error = max(map_error, _map_error(got.anomaly_map, expected))
        if calibration is not None and not _on_a_threshold((expected.score, got.score), calibration):
            flips += calibration.verdict(got.score) is not calibration.verdict(expected.score)
    return GoldenCheck(len(golden), flips, score_error, map_error, golden.spread is not None)


def require_golden(engine: Engine, golden: GoldenSet, calibration: Calibration | None) -> GoldenCheck:
    """Let nothing decide that does not agree with the trained model on the golden frames; returns how it did.

    Raises:
        EngineMismatch: a score, map or verdict differs; the message says by how much.
        InferenceError: the engine fails.
    """
    check = check_golden(engine, golden, calibration)
    if not check.passed(engine.name):
        raise EngineMismatch(
            f"engine {engine.name} does not agree with the trained model on the golden frames: {check.flips} of "
            f"{check.frames} verdicts differ, largest error of a score {check.score_error:.2%}, of a map "
            f"{check.map_error:.2%}; run 'csflow export' again"
        )
    return check


def _on_a_threshold(scores: tuple[float, float], calibration: Calibration) -> bool:
    thresholds = (calibration.warn_threshold, calibration.reject_threshold)
    return any(all(abs(s - t) <= BAND * t for s in scores) for t in thresholds)


def _score_error(got: float, expected: float, golden: GoldenSet) -> float:
    error = abs(got - expected) / golden.unit(expected)
    return error if np.isfinite(error) else float("inf")


def _map_error(got: NDArray[np.float32], golden: GoldenFrame) -> float:
    expected = np.array(golden.anomaly_map)
    if got.shape != tuple(golden.cell * side for side in expected.shape):
        return float("inf")
    error = float(np.abs(means(got, golden.cell) - expected).sum() / max(float(expected.sum()), SMALL))
    return error if np.isfinite(error) else float("inf")
