"""Large pictures in tiles: where they lie, and how their maps become one. Pure arithmetic in whole numbers.

Tiles are squares of the picture's own pixels, one step apart, from the upper left of the region that is judged; the
column and row lie at its far edges, so that every tile is whole. Where they are follows from the size alone. A network
sees less of what lies at a tile's edge: what is highest there is looked at again, in the middle of a tile of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError

__all__ = ["LOOKS", "MAX_CELLS", "MAX_TILES", "NEAR", "Box", "Stitched", "TileGrid", "offsets"]

LOOKS = 8
"""Tiles, those with the highest scores, of a new bundle whose highest points may be looked at again."""
NEAR = 64
"""Of a new bundle: a point needs no tile of its own where one has it within this part of a side of its middle."""
MAX_TILES = 16384
"""Of a picture: more are no inspection that a line waits for."""
MAX_CELLS = 1 << 24
"""Values of a stitched map, 64 MiB of them."""
Box = tuple[int, int, int, int]


def offsets(length: int, side: int, overlap: int) -> tuple[int, ...]:
    """Where tiles of `side` begin along an axis of `length` >= `side` pixels, rising, the last at `length` - `side`."""
    last = length - side
    return (*range(0, last, side - overlap), last)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one picture."""

    region: Box
    """What they cover, (x, y, width, height) in pixels of the picture."""
    side: int
    """Of each, in pixels."""
    columns: tuple[int, ...]
    """Left edges, in pixels from the region's."""
    rows: tuple[int, ...]
    """Upper edges alike."""

    @classmethod
    def of(cls, region: Box, tiles: tuple[int, int]) -> TileGrid:
        """The grid for a region (x, y, width, height) and tiles (side, overlap), all in pixels.

        Raises SourceError where a tile is larger than the region, or there are more than `MAX_TILES`.
        """
        _, _, width, height = region
        side, overlap = tiles
        if min(width, height) < side:
            raise SourceError(
                f"{width}x{height} pixels are smaller than a tile of {side}: the model was made for larger pictures"
            )
        grid = cls(region, side, offsets(width, side, overlap), offsets(height, side, overlap))
        if len(grid) > MAX_TILES:
            raise SourceError(
                f"{width}x{height} pixels are {len(grid)} tiles of {side}, {MAX_TILES} are taken: cut the picture, or "
                "train with a larger --tile"
            )
        return grid

    def __len__(self) -> int:
        """How many tiles there are."""
        return len(self.columns) * len(self.rows)

    def box(self, index: int) -> Box:
        """(x, y, width, height) of a tile in pixels of the picture; they count from 0, row by row."""
        row, column = divmod(index, len(self.columns))
        return self.region[0] + self.columns[column], self.region[1] + self.rows[row], self.side, self.side

    def looks(self, peaks: Iterable[tuple[Box, int]], tile_map: tuple[int, int], near: int) -> list[Box]:
        """Tiles about the highest values of others, where no tile, and none of these, has them near to its middle.

        Args:
            peaks: boxes of tiles of the grid, and which value of each one's map, row by row, is the highest.
            tile_map: shape (h, w) of these maps.
            near: which part of a side is near.

        Returns:
            Boxes as of `box`, in the order of the peaks; at the picture's edge as near to the middle as it allows.
        """
        left, top, width, height = self.region
        found: list[tuple[int, int]] = []
        for box, peak in peaks:
            row, column = divmod(peak, tile_map[1])
            x = self._centred(box[0] - left, column, tile_map[1], width)
            y = self._centred(box[1] - top, row, tile_map[0], height)
            known = self._near(near, x, self.columns) and self._near(near, y, self.rows)
            if not known and not any(self._near(near, x, (a,)) and self._near(near, y, (b,)) for a, b in found):
                found.append((x, y))
        return [(left + x, top + y, self.side, self.side) for x, y in found]

    def _centred(self, begin: int, value: int, values: int, length: int) -> int:
        """Where along an axis a tile begins in whose middle the middle of a value of another's map lies."""
        middle = begin + (2 * value + 1) * self.side // (2 * values)
        return min(max(middle - self.side // 2, 0), length - self.side)

    def _near(self, near: int, begin: int, others: Sequence[int]) -> bool:
        return any(near * abs(begin - other) <= self.side for other in others)

    def map_shape(self, tile_map: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the stitched map for maps of tiles of this shape: values no coarser than a tile's own."""
        _, _, width, height = self.region
        return -(-height * tile_map[0] // self.side), -(-width * tile_map[1] // self.side)


class Stitched:
    """The map of a picture, tile by tile: at each value's middle the largest that a tile has there.

    A tile's value covers at least one middle, so that the largest of all tiles is the largest of the map.
    """

    def __init__(self, grid: TileGrid, tile_map: tuple[int, int]) -> None:
        """For maps of tiles of shape (h, w). Raises SourceError where there would be more than `MAX_CELLS` values."""
        shape = grid.map_shape(tile_map)
        if shape[0] * shape[1] > MAX_CELLS:
            raise SourceError(
                f"the map of {grid.region[2]}x{grid.region[3]} pixels would have {shape[1]}x{shape[0]} values, "
                f"{MAX_CELLS} are taken: cut the picture, or train with a larger --tile"
            )
        self.tile_map = tile_map
        """The shape (h, w) of the maps that it takes."""
        self._region = grid.region
        self.values: NDArray[np.float32] = np.zeros(shape, np.float32)
        """(H, W) float32; of maps, which are not below 0. What is not a number stays it."""

    def add(self, box: Box, tile_map: NDArray[np.float32]) -> None:
        """Put the map of a tile (x, y, width, height), in pixels of the picture, in its place."""
        left, top, width, height = self._region
        rows, columns = self.values.shape
        to_columns, from_columns = _places(box[0] - left, box[2], width, self.tile_map[1], columns)
        to_rows, from_rows = _places(box[1] - top, box[3], height, self.tile_map[0], rows)
        part = self.values[to_rows, to_columns]
        np.maximum(part, tile_map[from_rows[:, None], from_columns], out=part)


def _places(begin: int, side: int, length: int, of_tile: int, of_all: int) -> tuple[slice, NDArray[np.intp]]:
    """Along one axis the values whose middles lie in a tile, and which of the tile's own each of them is in.

    Value j's middle lies at (2 j + 1) length / (2 of_all) pixels.
    """
    middles = (2 * np.arange(of_all, dtype=np.int64) + 1) * length - 2 * of_all * begin
    inside = np.flatnonzero((middles >= 0) & (middles < 2 * of_all * side))
    own = middles[inside] * of_tile // (2 * of_all * side)
    return slice(int(inside[0]), int(inside[-1]) + 1), own.astype(np.intp)
