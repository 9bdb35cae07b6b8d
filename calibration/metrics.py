"""Metrics: how well scores separate good from defect, how well maps find the defect, what the verdicts cost.

Needs numpy; image AUROC also scikit-learn and per-region overlap also SciPy (extra 'train').
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csflow.calibration.thresholds import check_share
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.errors import BackendUnavailable, DataError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.types import Verdict

__all__ = [
    "GOOD",
    "DefectRow",
    "Rates",
    "VerdictCounts",
    "count_verdicts",
    "defect_table",
    "image_auroc",
    "pixel_auroc",
    "pro",
    "rates",
]

GOOD = "good"
"""Type of an image without defect, as the folders of a data set name it."""


@dataclass(frozen=True)
class VerdictCounts:
    """How many images got which verdict."""

    ok: int
    nok: int
    uncertain: int
    error: int

    @property
    def total(self) -> int:
        """All images."""
        return self.ok + self.nok + self.uncertain + self.error

    def share(self, count: int) -> float:
        """`count` of these images in 0..1; NaN where there are none."""
        return count / self.total if self.total else math.nan


@dataclass(frozen=True)
class Rates:
    """What the thresholds do to good and to defect images. UNCERTAIN and ERROR count as neither."""

    good: VerdictCounts
    defect: VerdictCounts

    @property
    def false_rejects(self) -> int:
        """Good images whose verdict is NOK."""
        return self.good.nok

    @property
    def false_reject_rate(self) -> float:
        """`false_rejects` as a share of the good images, in 0..1; NaN where there are none."""
        return self.good.share(self.good.nok)

    @property
    def escapes(self) -> int:
        """Defect images whose verdict is OK."""
        return self.defect.ok

    @property
    def escape_rate(self) -> float:
        """`escapes` as a share of the defect images, in 0..1; NaN where there are none."""
        return self.defect.share(self.defect.ok)


@dataclass(frozen=True)
class DefectRow:
    """One defect type, against all good images."""

    defect_type: str
    images: int
    auroc: float
    """Image AUROC of this type against the good images."""
    verdicts: VerdictCounts | None
    """None where there are no thresholds yet."""


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a defect scores above a good image, ties counting half.

    Args:
        scores: (N,) finite scores, higher is more anomalous.
        labels: (N,) true or non-zero for defect.

    Raises:
        DataError: only one class, another number of labels than scores, or a score that is not finite.
        BackendUnavailable: scikit-learn is not installed.
    """
    values, defect = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if values.ndim != 1 or values.shape != defect.shape:
        raise DataError(f"expected one label for each score, got shapes {defect.shape} and {values.shape}")
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise DataError(f"score {first} is not finite: AUROC needs finite scores")
    if not 0 < defect.sum() < defect.size:
        missing = GOOD if defect.any() else "defect"
        raise DataError(f"AUROC needs good and defect images: there are no {missing} ones among {defect.size}")
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError as error:
        raise _no_library("scikit-learn", error) from None
    return float(roc_auc_score(defect, values))


def pixel_auroc(maps: Iterable[NDArray[Any]], masks: Iterable[NDArray[Any]]) -> float:
    """Area under the ROC curve over all pixels of all images; exact, ties counting half.

    Ranks defect pixels among the sorted good ones: about 8 bytes a pixel, where a library's ROC curve of 10⁸
    pixels takes gigabytes. Both arguments are read once, in step.

    Args:
        maps: (H, W) finite anomaly maps, higher is more anomalous; sizes may differ between images.
        masks: (H, W) each, non-zero on the defect; of the size of their map.

    Raises DataError: sizes or numbers differ, a map is not finite, or no pixel is good or none is defect.
    """
    good, defect = [], []
    for values, mask in _pairs(maps, masks):
        good.append(values[~mask])
        defect.append(values[mask])
    return float(_areas(_joined(defect, "defect"), _joined(good, GOOD), 1.0).mean())


def pro(maps: Iterable[NDArray[Any]], masks: Iterable[NDArray[Any]], max_fpr: float = 0.3) -> float:
    """Per-region overlap: area under the PRO curve up to a pixel false-positive rate, over that rate (0..1).

    PRO is the mean, over all connected defect regions (8-neighbourhood), of the share of the region above the
    threshold; false positives are counted over the good pixels of all images (Bergmann et al., MVTec AD, IJCV
    2021). Every distinct map value is a threshold; between two the curve is a straight line. Arguments and
    memory as `pixel_auroc`.

    Raises:
        DataError: as `pixel_auroc`.
        ConfigError: max_fpr is not strictly between 0 and 1.
        BackendUnavailable: SciPy is not installed.
    """
    check_share("max_fpr", max_fpr)
    try:
        from scipy.ndimage import label
    except ImportError as error:
        raise _no_library("SciPy", error) from None
    good, defect, weights, regions = [], [], [], 0
    for values, mask in _pairs(maps, masks):
        labels, found = label(mask, structure=np.ones((3, 3)))
        region = labels[mask]
        good.append(values[~mask])
        defect.append(values[mask])
        weights.append(1.0 / np.bincount(region)[region])
        regions += found
    areas = _areas(_joined(defect, "defect"), _joined(good, GOOD), max_fpr)
    return float(areas @ np.concatenate(weights) / (regions * max_fpr))


def count_verdicts(scores: Iterable[float], calibration: Calibration) -> VerdictCounts:
    """Apply the thresholds to scores; one that is not finite counts as error."""
    verdicts = [calibration.verdict(float(score)) for score in scores]
    return VerdictCounts(
        ok=verdicts.count(Verdict.OK),
        nok=verdicts.count(Verdict.NOK),
        uncertain=verdicts.count(Verdict.UNCERTAIN),
        error=verdicts.count(Verdict.ERROR),
    )


def rates(scores: Sequence[float], types: Sequence[str], calibration: Calibration) -> Rates:
    """False rejects and escapes at the calibrated thresholds.

    Args:
        scores: N raw scores.
        types: N names, 'good' or the defect type.
        calibration: the thresholds.

    Raises DataError when the numbers differ.
    """
    groups = _by_type(scores, types)
    good = groups.pop(GOOD, [])
    defect = [score for group in groups.values() for score in group]
    return Rates(count_verdicts(good, calibration), count_verdicts(defect, calibration))


def defect_table(
    scores: Sequence[float], types: Sequence[str], calibration: Calibration | None = None
) -> tuple[DefectRow, ...]:
    """One row a defect type, by name; arguments as `rates`, all scores finite.

    Raises:
        DataError: the numbers differ, there are no good images, or a score is not finite.
        BackendUnavailable: scikit-learn is not installed.
    """
    groups = _by_type(scores, types)
    good = groups.pop(GOOD, [])
    return tuple(_row(name, groups[name], good, calibration) for name in sorted(groups))


def _row(name: str, defect: list[float], good: list[float], calibration: Calibration | None) -> DefectRow:
    labels = [False] * len(good) + [True] * len(defect)
    verdicts = None if calibration is None else count_verdicts(defect, calibration)
    return DefectRow(name, len(defect), image_auroc(good + defect, labels), verdicts)


def _by_type(scores: Sequence[float], types: Sequence[str]) -> dict[str, list[float]]:
    if len(scores) != len(types):
        raise DataError(f"expected one type for each score, got {len(types)} and {len(scores)}")
    groups: dict[str, list[float]] = {}
    for score, name in zip(scores, types, strict=True):
        groups.setdefault(name, []).append(float(score))
    return groups


def _pairs(
    maps: Iterable[NDArray[Any]], masks: Iterable[NDArray[Any]]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    for index, (one_map, one_mask) in enumerate(zip_longest(maps, masks)):
        if one_map is None or one_mask is None:
            raise DataError(f"expected one mask for each map, but only one of the two has an entry {index}")
        values, mask = np.asarray(one_map), np.asarray(one_mask).astype(bool)
        if values.ndim != 2 or values.shape != mask.shape:
            shapes = f"{values.shape} and {mask.shape}"
            raise DataError(f"expected map and mask {index} of one size (H, W), got {shapes}")
        if not np.isfinite(values).all():
            raise DataError(f"map {index} is not finite everywhere: pixel metrics need finite maps")
        yield values, mask


def _joined(parts: list[NDArray[Any]], kind: str) -> NDArray[Any]:
    if not any(part.size for part in parts):
        raise DataError(f"pixel metrics need good and defect pixels: {len(parts)} masks leave no {kind} ones")
    return np.concatenate(parts)


def _areas(defect: NDArray[Any], good: NDArray[Any], max_fpr: float) -> NDArray[np.float64]:
    """For each defect pixel, the area under the ROC curve of this pixel alone, up to the rate max_fpr.

    A pixel of value v counts as found once the rate passes the share `above` of good pixels higher than v,
    and in equal parts while the good pixels equal to v are passed; by linearity, means of these areas are
    the areas under the mean curves. Sorts `good` in place.
    """
    good.sort()
    above = 1.0 - np.searchsorted(good, defect, side="right") / good.size
    reached = 1.0 - np.searchsorted(good, defect, side="left") / good.size
    cut = np.square(np.clip(max_fpr - above, 0.0, None)) / (2.0 * np.maximum(reached - above, 1e-300))
    return np.where(reached <= max_fpr, max_fpr - (above + reached) / 2.0, cut)


def _no_library(name: str, error: ImportError) -> BackendUnavailable:
    return BackendUnavailable(f"{name} cannot be loaded ({error}): {pip_install('train')}")
