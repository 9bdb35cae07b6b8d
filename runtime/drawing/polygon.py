"""Areas with corners as the rectangles that a bundle holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from csflow.runtime.bundle.manifest import MAX_IGNORED
from csflow.runtime.picture.region import Box, rectangles_to_cover

__all__ = ["polygon_boxes"]

Corners = Sequence[tuple[int, int]]


def polygon_boxes(polygons: Sequence[Corners], size: tuple[int, int]) -> tuple[Box, ...]:
    """Rectangles that cover these areas: upright rectangles exactly, others as finely as a bundle takes.

    Areas with slanted edges take a rectangle for each row of pixels; where these are too many, rows and columns are
    taken in steps of 2, 4, 8, ... pixels, each whole step that an area touches.

    Args:
        polygons: corners (x, y) in pixels; edges between them, and from the last to the first. Parts outside of the
            picture are cut off.
        size: (width, height) of the picture.

    Raises ValueError for fewer than three corners, or an area that lies outside of the picture or has none.
    """
    upright, mask = [], np.zeros((size[1], size[0]), np.bool_)
    for corners in polygons:
        if len(corners) < 3:
            raise ValueError("an area needs at least 3 corners")
        covered = _upright(corners, size)
        if covered is None:
            drawn = _drawn(corners, size)
            if not drawn.any():
                raise ValueError("an area lies outside of the picture, or has no inside")
            mask |= drawn
        else:
            upright.append(covered)
    rest = MAX_IGNORED - len(upright)
    if rest < 1:
        return tuple(upright)
    return (*upright, *_coarsened(mask, rest))


def _upright(corners: Corners, size: tuple[int, int]) -> Box | None:
    """The box of an upright rectangle; None of another shape."""
    columns, rows = sorted({x for x, _ in corners}), sorted({y for _, y in corners})
    cycle = zip(corners, [*corners[1:], corners[0]], strict=True)
    straight = all((a[0] == b[0]) != (a[1] == b[1]) for a, b in cycle)
    if len(corners) != 4 or len(columns) != 2 or len(rows) != 2 or not straight:
        return None
    left, right = (min(max(x, 0), size[0]) for x in columns)
    top, bottom = (min(max(y, 0), size[1]) for y in rows)
    return None if left == right or top == bottom else (left, top, right - left, bottom - top)


def _drawn(corners: Corners, size: tuple[int, int]) -> NDArray[np.bool_]:
    canvas = Image.new("1", size)
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.array(canvas, dtype=np.bool_)


def _coarsened(mask: NDArray[np.bool_], most: int) -> tuple[Box, ...]:
    height, width = mask.shape
    step = 1
    while True:
        grid = np.zeros((-(-height // step) * step, -(-width // step) * step), np.bool_)
        grid[:height, :width] = mask
        blocks = grid.reshape(grid.shape[0] // step, step, grid.shape[1] // step, step)
        cells: NDArray[np.bool_] = np.any(blocks, axis=(1, 3))
        boxes = rectangles_to_cover(cells)
        if len(boxes) <= most:
            return tuple(_cut((x * step, y * step, w * step, h * step), width, height) for x, y, w, h in boxes)
        step *= 2


def _cut(box: Box, width: int, height: int) -> Box:
    x, y, w, h = box
    return x, y, min(w, width - x), min(h, height - y)
