"""Heat maps: colours that rise evenly, a scale on which good parts look calm, and the region they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.runtime.picture.overlay import colour_table, full_scale, hatched, heat_map, overlay, result_sheet, shrunk
from csflow.runtime.picture.region import WHOLE_PICTURE, Region
from csflow.runtime.types import Result, Verdict

GREY = np.full((40, 60, 3), 120, dtype=np.uint8)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB bytes (..., 3)."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def result(anomaly_map: np.ndarray, threshold: float = 1.5, verdict: Verdict = Verdict.NOK) -> Result:
    score = float(anomaly_map.mean()) / 2 if anomaly_map.size else math.nan
    return Result(verdict, score, threshold, 0.1, anomaly_map.astype(np.float32), (0, 0), "why", 0, 0, 0.1, "a.png")


def test_colours_get_lighter_all_the_way_and_without_jumps() -> None:
    steps = np.diff(lightness(colour_table().astype(float)))
    assert colour_table().shape == (256, 3)
    assert steps.min() > -0.3  # a rounded byte
    coarse = np.diff(lightness(colour_table()[::15].astype(float)))
    assert coarse.min() > 0.5
    assert coarse.max() < 7.5


def test_the_table_cannot_be_spoilt_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        colour_table()[0] = 0


def test_the_heat_map_has_the_size_asked_for_and_its_ends_are_the_ends_of_the_table() -> None:
    picture = heat_map(np.array([[0.0, 5.0]], dtype=np.float32), (60, 40), scale=5.0)
    assert picture.shape == (40, 60, 3)
    assert picture.dtype == np.uint8
    assert (picture[:, 0] == colour_table()[0]).all()
    assert (picture[:, -1] == colour_table()[-1]).all()


def test_enlarging_is_smooth() -> None:
    picture = heat_map(np.array([[0.0, 1.0]], dtype=np.float32), (200, 1), scale=1.0)
    assert np.abs(np.diff(picture[0].astype(int), axis=0)).max() <= 24


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=9), st.floats())
def test_any_map_and_threshold_give_a_picture(values: list[float], threshold: float) -> None:
    anomaly_map = np.array([values], dtype=np.float32)
    scale = full_scale(anomaly_map, threshold)
    assert scale > 0
    assert heat_map(anomaly_map, (8, 8), scale).shape == (8, 8, 3)


def test_what_is_not_finite_looks_hot() -> None:
    picture = heat_map(np.array([[np.nan, np.inf]], dtype=np.float32), (2, 1), scale=1.0)
    assert (picture == colour_table()[-1]).all()


def test_a_good_part_looks_calm_whatever_its_own_highest_point() -> None:
    calm = np.full((4, 4), 2.2, dtype=np.float32)
    calm[1, 2] = 2.9
    scale = full_scale(calm, threshold=1.5)
    assert np.array_equal(overlay(GREY, calm, scale), GREY)


def test_a_defect_is_hot_where_it_is_and_only_there() -> None:
    hot = np.full((4, 6), 2.2, dtype=np.float32)
    hot[3, 5] = 60.0
    image = overlay(GREY, hot, full_scale(hot, threshold=1.5))
    assert np.abs(image[-1, -1].astype(int) - colour_table()[-1]).max() < 30
    assert np.array_equal(image[:20, :30], GREY[:20, :30])


def test_the_map_covers_the_region_of_interest_and_the_image_is_not_touched() -> None:
    before = GREY.copy()
    image = overlay(GREY, np.full((2, 2), 9.0, dtype=np.float32), 9.0, Region((10, 5, 20, 8)))
    changed = (image != GREY).any(axis=2)
    assert changed[5:13, 10:30].all()
    assert changed.sum() == 20 * 8
    assert np.array_equal(GREY, before)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_strip_has_the_colour_of_the_verdict_and_text_on_it(verdict: Verdict) -> None:
    strip = result_sheet(GREY, result(np.ones((2, 2)), verdict=verdict))[:44]
    assert (strip == strip[0, 0]).all(axis=2).mean() > 0.8
    assert (strip == 255).all(axis=2).any()


@pytest.mark.parametrize("shape", [(64, 64), (30, 900), (1300, 300), (1, 1)])
@pytest.mark.parametrize("map_shape", [(2, 2), (0, 0)])
def test_a_sheet_is_readable_for_any_picture(shape: tuple[int, int], map_shape: tuple[int, int]) -> None:
    sheet = result_sheet(np.zeros((*shape, 3), dtype=np.uint8), result(np.ones(map_shape)))
    assert sheet.dtype == np.uint8
    assert 300 <= sheet.shape[1] <= 2 * 1024
    assert sheet.shape[0] <= 1024 + 100


def test_a_large_picture_is_reduced_with_its_region() -> None:
    large = np.zeros((2000, 3000, 3), dtype=np.uint8)
    small, region = shrunk(large, Region((1500, 1000, 1500, 1000), ((0, 0, 30, 1), (2990, 20, 10, 20))), 300)
    assert small.shape == (200, 300, 3)
    assert region == Region((150, 100, 150, 100), ((0, 0, 3, 1), (299, 2, 1, 2)))
    assert shrunk(GREY, region, 300) == (GREY, region)


def test_ignored_areas_are_hatched_in_every_map_and_nothing_else_is() -> None:
    region = Region((10, 0, 50, 40), ((0, 20, 30, 20),))
    calm = np.zeros((4, 4), dtype=np.float32)
    image = overlay(GREY, calm, 1.0, region)
    changed = (image != GREY).any(axis=2)
    assert changed[20:40, :30].all()
    assert changed.sum() == 20 * 30
    assert len(np.unique(image[20:40, :30].reshape(-1, 3), axis=0)) == 2, "stripes"
    assert np.array_equal(hatched(GREY.copy(), region), image)
    twice = Region(ignore=((0, 20, 20, 20), (10, 20, 20, 20)))
    assert np.array_equal(hatched(GREY.copy(), twice), image), "where areas overlap, too"
    plain, striped = (result_sheet(GREY, result(calm), r) for r in (WHOLE_PICTURE, region))
    assert (plain != striped).any()
    assert np.array_equal(plain[:, :256], striped[:, :256]), "the picture beside it stays as it is"


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000), st.data())
def test_a_reduced_region_lies_in_the_reduced_picture(width: int, height: int, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    roi = (left, top, data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top)))
    small, found = shrunk(np.zeros((height, width, 3), dtype=np.uint8), Region(roi, (roi,)), 64)
    assert found.ignore == (found.roi,)
    (region,) = found.ignore
    assert min(region) >= 0
    assert min(region[2:]) >= 1
    assert region[0] + region[2] <= small.shape[1]
    assert region[1] + region[3] <= small.shape[0]
