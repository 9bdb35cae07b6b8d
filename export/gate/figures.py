"""The figures of the decision gate, from the answers of two engines to the same pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.calibration.metrics import image_auroc
from csflow.export.gate.pictures import Truth
from csflow.runtime.bundle.golden import GoldenSet
from csflow.runtime.bundle.verification import Figures
from csflow.runtime.engines.golden_check import golden_problems
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install

__all__ = ["AUROC_PAIRS", "AUROC_TOLERANCE", "Answer", "faults_of", "figures_of"]

AUROC_TOLERANCE = 1e-3
"""Largest change of the image AUROC ..."""
AUROC_PAIRS = 1000
"""... asked of at least so many pairs of a good and a defective picture: with fewer, one swapped pair exceeds it."""
WORST = 1e9
"""Stands for an error that is no number: JSON knows no infinity."""


@dataclass(frozen=True)
class Answer:
    """What an engine says about one picture."""

    score: float
    """NaN where the engine failed."""
    anomaly_map: NDArray[np.float64]
    """(h, w), means over cells of the map; (0, 0) where the engine failed."""


def figures_of(
    truths: Sequence[Truth], reference: Sequence[Answer], got: Sequence[Answer], reject: float, golden_set: GoldenSet
) -> Figures:
    """Compare two engines.

    AUROC and map errors by region come from the pictures that are not golden frames, where there are any.

    Args:
        truths: of the pictures, in the order of the answers.
        reference: answers of the trained model.
        golden_set: the golden frames, which say what an error of a score is a share of.
        reject: the reject threshold; infinite where the bundle is not calibrated.

    Raises BackendUnavailable where SciPy or scikit-learn is not installed.
    """
    expected, scores = np.array([a.score for a in reference]), np.array([a.score for a in got])
    units = np.array([golden_set.unit(float(score)) for score in expected])
    errors = np.nan_to_num(np.abs(scores - expected) / units, nan=WORST, posinf=WORST)
    map_errors = np.array([_map_error(a, b) for a, b in zip(reference, got, strict=True)])
    golden = np.array([t.golden for t in truths])
    judged = ~golden if (~golden).any() else golden
    good = np.array([t.good for t in truths])[judged]
    auroc, change = _auroc(expected[judged], scores[judged], ~good)
    inside, outside = _by_region(truths, reference, got)
    return Figures(
        good=int(good.sum()),
        defective=int((~good).sum()),
        score_error_max=float(errors.max()),
        score_error_p99=float(np.quantile(errors, 0.99)),
        score_error_tail=float(errors[expected > reject].max()) if (expected > reject).any() else None,
        rank_correlation=_rank_correlation(expected, scores),
        auroc=auroc,
        auroc_change=change,
        map_error_max=float(map_errors.max()),
        map_error_inside=inside,
        map_error_outside=outside,
        golden_score_error=float(errors[golden].max()),
        golden_map_error=float(map_errors[golden].max()),
    )


def faults_of(engine_name: str, figures: Figures, scores: Sequence[float | None], by_spread: bool) -> tuple[str, ...]:
    """Why an engine with these figures may not decide, whatever the thresholds; empty where it may."""
    faults = []
    if broken := sum(score is None for score in scores):
        faults.append(f"{broken} of {len(scores)} pictures got no finite score or map")
    faults += golden_problems(engine_name, figures.golden_score_error, figures.golden_map_error, by_spread)
    pairs = figures.good * figures.defective
    if figures.auroc_change is not None and pairs >= AUROC_PAIRS and figures.auroc_change > AUROC_TOLERANCE:
        faults.append(f"the image AUROC changed by {figures.auroc_change:.4f}, at most {AUROC_TOLERANCE} is allowed")
    return tuple(faults)


def _map_error(reference: Answer, got: Answer) -> float:
    if reference.anomaly_map.shape != got.anomaly_map.shape:
        return WORST
    difference, total = np.abs(got.anomaly_map - reference.anomaly_map).sum(), reference.anomaly_map.sum()
    error = float(difference / max(float(total), 1e-6))
    return min(error, WORST) if math.isfinite(error) else WORST


def _rank_correlation(expected: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    try:
        from scipy.stats import spearmanr
    except ImportError as error:
        raise BackendUnavailable(f"the gate needs SciPy ({error}): {pip_install('train')}") from None
    finite = np.isfinite(scores)
    if min(np.unique(expected[finite]).size, np.unique(scores[finite]).size) < 2:
        return None
    return float(spearmanr(expected[finite], scores[finite]).statistic)


def _auroc(
    expected: NDArray[np.float64], scores: NDArray[np.float64], defect: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    if not 0 < defect.sum() < defect.size or not np.isfinite(scores).all():
        return None, None
    auroc = image_auroc(scores, defect)
    return auroc, abs(auroc - image_auroc(expected, defect))


def _by_region(
    truths: Sequence[Truth], reference: Sequence[Answer], got: Sequence[Answer]
) -> tuple[float | None, float | None]:
    sums = np.zeros((2, 2))
    for truth, expected, answer in zip(truths, reference, got, strict=True):
        maps = expected.anomaly_map, answer.anomaly_map
        if truth.marked is None or maps[0].shape != maps[1].shape or not np.isfinite(maps[1]).all():
            continue
        for row, region in enumerate((truth.marked, ~truth.marked)):
            sums[row] += np.abs(maps[1] - maps[0])[region].sum(), maps[0][region].sum()
    inside, outside = (float(error / total) if total > 0 else None for error, total in sums)
    return inside, outside
