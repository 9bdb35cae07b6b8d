"""Tiles cover a picture, are all whole, and their maps become one in which nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.runtime.bundle.tiles import MAX_TILES, Stitched, TileGrid, offsets
from csflow.runtime.errors import SourceError

sides = st.integers(8, 64)


@given(st.data())
def test_tiles_cover_an_axis_and_overlap_by_what_was_asked_for(data: st.DataObject) -> None:
    side = data.draw(sides)
    length, overlap = data.draw(st.integers(side, 500)), data.draw(st.integers(0, side // 2))
    found = offsets(length, side, overlap)
    assert (found[0], found[-1]) == (0, length - side)
    steps = np.diff(found)
    assert (steps[:-1] == side - overlap).all()
    assert ((steps > 0) & (steps <= side - overlap)).all()


def test_a_grid_counts_row_by_row_from_the_region_on() -> None:
    grid = TileGrid.of((100, 10, 40, 25), (16, 4))
    assert (grid.columns, grid.rows, len(grid)) == ((0, 12, 24), (0, 9), 6)
    assert [grid.box(i) for i in (0, 2, 3)] == [(100, 10, 16, 16), (124, 10, 16, 16), (100, 19, 16, 16)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_stitched_map_has_no_hole_and_keeps_every_value_that_no_other_tile_exceeds(data: st.DataObject) -> None:
    side, cells = data.draw(sides), data.draw(st.integers(1, 12))
    width, height = (data.draw(st.integers(side, 200)) for _ in range(2))
    grid = TileGrid.of((0, 0, width, height), (side, data.draw(st.integers(0, side // 2))))
    stitched = Stitched(grid, (cells, cells))
    draw = np.random.default_rng(width)
    maps = draw.uniform(1.0, 2.0, (len(grid), cells, cells)).astype(np.float32)
    for index, tile_map in enumerate(maps):
        stitched.add(grid.box(index), tile_map)
    assert stitched.values.shape == grid.map_shape((cells, cells))
    assert stitched.values.min() >= 1.0
    assert stitched.values.max() == maps.max()
    # Where the highest lies: within the value of the tile that it came from.
    index, row, column = np.unravel_index(maps.argmax(), maps.shape)
    y, x = np.unravel_index(stitched.values.argmax(), stitched.values.shape)
    left, top, _, _ = grid.box(int(index))
    middle_x, middle_y = (x + 0.5) * width / stitched.values.shape[1], (y + 0.5) * height / stitched.values.shape[0]
    assert left + column * side / cells <= middle_x <= left + (column + 1) * side / cells
    assert top + row * side / cells <= middle_y <= top + (row + 1) * side / cells


def test_one_tile_is_the_picture_itself() -> None:
    grid = TileGrid.of((5, 6, 32, 32), (32, 8))
    stitched = Stitched(grid, (3, 4))
    tile_map = np.arange(12, dtype=np.float32).reshape(3, 4)
    stitched.add(grid.box(0), tile_map)
    np.testing.assert_array_equal(stitched.values, tile_map)


def test_what_is_highest_at_an_edge_is_looked_at_again_in_a_middle() -> None:
    grid = TileGrid.of((10, 20, 300, 164), (100, 10))
    assert grid.columns == (0, 90, 180, 200)
    assert grid.rows == (0, 64)
    # 10 values of 10 px: the upper right of the first tile, which lies at the upper edge of the picture.
    assert grid.looks([(grid.box(0), 9)], (10, 10), 8) == [(10 + 45, 20, 100, 100)]
    # The same point, seen by its neighbour, needs no other look; the middle of a tile none at all.
    assert grid.looks([(grid.box(0), 9), (grid.box(1), 0), (grid.box(2), 44)], (10, 10), 8) == [(55, 20, 100, 100)]
    # Where four tiles meet; and at the far corner, which no tile has nearer to its middle.
    assert grid.looks([(grid.box(0), 89)], (10, 10), 8) == [(55, 20 + 35, 100, 100)]
    assert grid.looks([(grid.box(7), 99)], (10, 10), 8) == []
    # A point that lies 5 px off a tile's middle is near to it by an eighth of a side, and not by a 32nd.
    assert grid.looks([(grid.box(0), 44)], (10, 10), 8) == []
    assert grid.looks([(grid.box(0), 55)], (10, 10), 32) == [(15, 25, 100, 100)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_after_looking_again_every_peak_lies_in_the_middle_of_a_tile_or_at_the_pictures_edge(
    data: st.DataObject,
) -> None:
    side, cells = data.draw(sides), data.draw(st.integers(1, 12))
    region = (3, 5, data.draw(st.integers(side, 200)), data.draw(st.integers(side, 200)))
    grid = TileGrid.of(region, (side, data.draw(st.integers(0, side // 2))))
    near = data.draw(st.sampled_from((1, 8, 64)))
    peaks = data.draw(st.lists(st.tuples(st.integers(0, len(grid) - 1), st.integers(0, cells**2 - 1)), max_size=8))
    looks = grid.looks([(grid.box(i), peak) for i, peak in peaks], (cells, cells), near)
    boxes = [*(grid.box(i) for i in range(len(grid))), *looks]
    for look in looks:
        assert region[0] <= look[0] <= region[0] + region[2] - side
        assert region[1] <= look[1] <= region[1] + region[3] - side
    for i, peak in peaks:
        x, y, _, _ = grid.box(i)
        point = [
            x - 3 + (2 * (peak % cells) + 1) * side // (2 * cells),
            y - 5 + (2 * (peak // cells) + 1) * side // (2 * cells),
        ]
        best = [min(max(p - side // 2, 0), length - side) for p, length in zip(point, region[2:], strict=True)]
        assert any(max(abs(b[0] - 3 - best[0]), abs(b[1] - 5 - best[1])) * near <= side for b in boxes)


def test_what_is_not_a_number_is_not_covered_by_a_neighbour() -> None:
    grid = TileGrid.of((0, 0, 48, 32), (32, 16))
    stitched = Stitched(grid, (2, 2))
    stitched.add(grid.box(0), np.full((2, 2), np.nan, np.float32))
    stitched.add(grid.box(1), np.ones((2, 2), np.float32))
    assert np.isnan(stitched.values[:, :2]).all()


def test_pictures_smaller_than_a_tile_or_of_too_many_are_refused() -> None:
    with pytest.raises(SourceError, match="31x40 pixels are smaller than a tile of 32"):
        TileGrid.of((0, 0, 31, 40), (32, 0))
    with pytest.raises(SourceError, match=f"{MAX_TILES} are taken"):
        TileGrid.of((0, 0, 32 * 129, 32 * 128), (32, 0))
    with pytest.raises(SourceError, match="20480x16384 values"):
        Stitched(TileGrid.of((0, 0, 20480, 16384), (4096, 0)), (4096, 4096))
