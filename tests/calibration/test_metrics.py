"""Metrics against slow transcriptions of their definitions."""

from __future__ import annotations

import math
import re
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from csflow.calibration import metrics
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.errors import BackendUnavailable, ConfigError, DataError
from csflow.runtime.machine.install import pip_install

Images = list[NDArray[Any]]


@pytest.fixture
def calibration() -> Calibration:
    return Calibration(2.0, 1.0, 0.05, 0.95, 0.05, 0.1, (0.5, 1.0, 2.0), "0" * 64, "fake", "2026-01-01T00:00:00+00:00")


def scene(seed: int, levels: int) -> tuple[Images, Images]:
    """Four small maps with `levels` distinct values (few: many ties), and masks with several regions."""
    random = np.random.default_rng(seed)
    masks = [random.random((12, 10 + i)) < 0.12 for i in range(3)] + [np.zeros((9, 9), bool)]
    maps = [random.random(m.shape) * 0.7 + m * random.random(m.shape) * 0.6 for m in masks]
    return [np.round(m * levels).astype(np.float32) for m in maps], masks


def slow_pro(maps: Images, masks: Images, max_fpr: float) -> float:
    """The definition: walk all thresholds down, join (FPR, overlap) by lines, integrate up to max_fpr."""
    regions = []
    for values, mask in zip(maps, masks, strict=True):
        labels, count = label(mask, structure=np.ones((3, 3)))
        regions += [values[labels == i + 1] for i in range(count)]
    good = np.concatenate([v[~m] for v, m in zip(maps, masks, strict=True)])
    fpr, overlap = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([v.ravel() for v in maps]))[::-1]:
        fpr.append(float(np.mean(good >= threshold)))
        overlap.append(float(np.mean([np.mean(r >= threshold) for r in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(zip(fpr, overlap, strict=True)):
        if x1 > max_fpr:
            y1 = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
            return (area + (max_fpr - x0) * (y0 + y1) / 2) / max_fpr
        area += (x1 - x0) * (y0 + y1) / 2
    raise AssertionError("the curve ends at FPR 1, beyond max_fpr")


@pytest.mark.parametrize("levels", [3, 20, 100_000])
@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("seed", [1, 2])
def test_pro_is_its_definition(levels: int, max_fpr: float, seed: int) -> None:
    maps, masks = scene(seed, levels)
    assert metrics.pro(maps, masks, max_fpr) == pytest.approx(slow_pro(maps, masks, max_fpr), abs=1e-12)


@pytest.mark.parametrize("levels", [3, 20, 100_000])
def test_pixel_auroc_is_the_library_s(levels: int) -> None:
    maps, masks = scene(3, levels)
    expected = roc_auc_score(np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps]))
    assert metrics.pixel_auroc(maps, masks) == pytest.approx(expected, abs=1e-12)


def test_pro_ends_where_the_paper_s_does() -> None:
    maps, masks = scene(1, 20)
    assert metrics.pro(maps, masks) == pytest.approx(slow_pro(maps, masks, 0.3), abs=1e-12)


def test_pro_weighs_regions_not_pixels() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[:10, :10] = 255
    mask[15, 15] = 255
    found_large = np.where(mask > 0, 1.0, 0.0)
    found_large[15, 15] = -1.0
    assert metrics.pro([found_large], [mask]) == pytest.approx(0.5)
    assert metrics.pixel_auroc([found_large], [mask]) == pytest.approx(100 / 101)


def test_diagonal_neighbours_are_one_region() -> None:
    mask = np.eye(6, dtype=bool)
    values = np.where(mask, 1.0, 0.0)
    values[0, 0] = -1.0
    assert metrics.pro([values], [mask]) == pytest.approx(5 / 6)


def test_perfect_maps_score_one() -> None:
    masks = scene(4, 10)[1]
    maps = [m.astype(np.float32) for m in masks]
    assert metrics.pro(maps, masks) == pytest.approx(1.0)
    assert metrics.pixel_auroc(iter(maps), iter(masks)) == 1.0


def test_maps_are_left_as_they_were() -> None:
    maps, masks = scene(5, 50)
    before = [m.copy() for m in maps]
    metrics.pro(maps, masks)
    assert all(np.array_equal(a, b) for a, b in zip(maps, before, strict=True))


@pytest.mark.parametrize("metric", [metrics.pro, metrics.pixel_auroc])
def test_useless_maps_and_masks_are_named(metric: Any) -> None:
    maps, masks = scene(6, 50)
    with pytest.raises(DataError, match="leave no defect ones"):
        metric(maps, [np.zeros_like(m) for m in masks])
    with pytest.raises(DataError, match="leave no good ones"):
        metric(maps, [np.ones_like(m) for m in masks])
    with pytest.raises(DataError, match="only one of the two has an entry 3"):
        metric(maps, masks[:3])
    with pytest.raises(DataError, match="map and mask 0 of one size"):
        metric(maps, masks[1:] + masks[:1])
    with pytest.raises(DataError, match="map 1 is not finite"):
        metric([maps[0], maps[1] * np.nan, *maps[2:]], masks)


@pytest.mark.parametrize("max_fpr", [0.0, 1.0, 30.0])
def test_pro_refuses_a_limit_that_is_no_share(max_fpr: float) -> None:
    with pytest.raises(ConfigError, match="max_fpr must lie between 0 and 1"):
        metrics.pro(*scene(1, 10), max_fpr)


def test_image_auroc_is_the_chance_of_the_right_order() -> None:
    good, defect = [1.0, 2.0, 3.0], [3.0, 4.0]
    pairs = [(d > g) + 0.5 * (d == g) for d in defect for g in good]
    assert metrics.image_auroc(good + defect, [0, 0, 0, 1, 1]) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [1, 1], "no good ones among 2"),
        ([1.0, 2.0], [0, 0], "no defect ones among 2"),
        ([], [], "no defect ones among 0"),
        ([1.0, math.nan], [0, 1], "score 1 is not finite"),
        ([1.0, 2.0], [0], "one label for each score"),
    ],
)
def test_image_auroc_names_what_is_missing(scores: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        metrics.image_auroc(scores, labels)


def test_absent_libraries_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(BackendUnavailable, match=r"scikit-learn .*" + re.escape(pip_install("train"))):
        metrics.image_auroc([1.0, 2.0], [0, 1])
    with pytest.raises(BackendUnavailable, match=r"SciPy .*" + re.escape(pip_install("train"))):
        metrics.pro(*scene(1, 10))


def test_rates_count_escapes_and_false_rejects_apart_from_uncertain(calibration: Calibration) -> None:
    scores = [0.5, 1.5, 2.5, 0.9, 1.5, 1.6, 9.0, math.nan]
    types = ["good", "good", "good", "dent", "dent", "scratch", "scratch", "scratch"]
    made = metrics.rates(scores, types, calibration)
    assert (made.false_rejects, made.false_reject_rate) == (1, 1 / 3)
    assert (made.escapes, made.escape_rate) == (1, 1 / 5)
    assert made.good == metrics.VerdictCounts(ok=1, nok=1, uncertain=1, error=0)
    assert made.defect == metrics.VerdictCounts(ok=1, nok=1, uncertain=2, error=1)


def test_rates_without_defects_are_nan_not_zero(calibration: Calibration) -> None:
    assert math.isnan(metrics.rates([0.5], ["good"], calibration).escape_rate)


def test_table_has_a_row_for_each_defect_type(calibration: Calibration) -> None:
    scores, types = [0.5, 1.5, 2.5, 1.0, 1.7], ["good", "good", "scratch", "dent", "dent"]
    dent, scratch = metrics.defect_table(scores, types, calibration)
    assert (dent.defect_type, dent.images) == ("dent", 2)
    assert dent.auroc == pytest.approx(0.75)
    assert dent.verdicts == metrics.VerdictCounts(ok=1, nok=0, uncertain=1, error=0)
    assert (scratch.defect_type, scratch.auroc) == ("scratch", 1.0)


def test_table_needs_no_thresholds() -> None:
    (row,) = metrics.defect_table([1.0, 2.0], ["good", "dent"])
    assert row.verdicts is None


def test_table_needs_good_images_and_a_type_a_score() -> None:
    with pytest.raises(DataError, match="no good ones"):
        metrics.defect_table([1.0, 2.0], ["dent", "dent"])
    with pytest.raises(DataError, match="one type for each score"):
        metrics.defect_table([1.0, 2.0], ["dent"])
