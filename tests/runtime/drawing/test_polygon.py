"""Polygons as rectangles: exact where they can be, covering everywhere, and never more than a bundle takes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from csflow.runtime.bundle.manifest import MAX_IGNORED
from csflow.runtime.drawing.polygon import polygon_boxes
from csflow.runtime.picture.region import Box, Region

TRIANGLE = ((10, 10), (90, 20), (50, 80))


def covered(boxes: tuple[Box, ...], size: tuple[int, int]) -> np.ndarray:
    return ~Region(ignore=boxes).looked_at(np.ones((size[1], size[0]), np.bool_))


def test_an_upright_rectangle_is_that_rectangle_in_either_direction() -> None:
    corners = [(5, 6), (25, 6), (25, 16), (5, 16)]
    assert polygon_boxes([corners, corners[::-1]], (100, 80)) == ((5, 6, 20, 10),) * 2
    assert polygon_boxes([[(-5, 6), (25, 6), (25, 160), (-5, 160)]], (100, 80)) == ((0, 6, 25, 74),)


def test_other_polygons_are_covered_pixel_by_pixel() -> None:
    canvas = Image.new("1", (100, 80))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in TRIANGLE], fill=1)
    assert np.array_equal(covered(polygon_boxes([TRIANGLE], (100, 80)), (100, 80)), np.asarray(canvas))


def test_what_needs_too_many_rectangles_is_covered_in_coarser_steps() -> None:
    size = (3000, 3000)
    teeth = [[(x, 2999), (x + 20, 0), (x + 40, 2999)] for x in range(0, 3000, 60)]
    boxes = polygon_boxes(teeth, size)
    assert MAX_IGNORED // 8 < len(boxes) <= MAX_IGNORED
    one = covered(polygon_boxes(teeth[:1], size), size)
    assert not (one & ~covered(boxes, size)).any(), "nothing that was drawn is left out"
    assert all(x + w <= 3000 and y + h <= 3000 for x, y, w, h in boxes)


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ([(1, 1), (5, 5)], "at least 3 corners"),
        ([(200, 200), (300, 200), (250, 300)], "outside of the picture"),
        ([(200, 0), (300, 0), (300, 40), (200, 40)], "outside of the picture"),
    ],
)
def test_what_is_no_area_is_refused(corners: list[tuple[int, int]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        polygon_boxes([corners], (100, 80))
