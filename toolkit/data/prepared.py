"""Pictures as a model sees them, side by side in one file: for trainings that read them again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.tiles import TileGrid
from csflow.runtime.errors import DataError, SinkError, SourceError
from csflow.runtime.picture.images import image_size, read_picture
from csflow.runtime.picture.preprocess import pieces_of_file
from csflow.runtime.picture.window import clipped

__all__ = ["clipped_line", "one_piece", "prepared_pictures", "tile_count"]

WINDOWED = 8
"""Pictures of which it is told what a window takes from them."""


def prepared_pictures(paths: Sequence[Path], how: Preprocessing, file: Path, advance: Callable[[int], None]) -> Tensor:
    """(N, S, S, 3) uint8 RGB of all pictures, or of all their tiles, read from `file` through the page cache; it is
    written anew.

    Args:
        advance: called with 1 after each picture.

    Raises:
        DataError: a picture cannot be read, or a region of interest leaves one.
        SinkError: the disk has no room, or cannot be written.
    """
    shape = (sum(tile_count(path, how) for path in paths), how.image_size, how.image_size, 3)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            for path in paths:
                for piece in pieces_of_file(path, how):
                    opened.write(piece.tobytes())
                advance(1)
        # Copied where it is written to, which nobody does: torch takes no array that is for reading alone.
        return torch.from_numpy(np.memmap(file, np.uint8, "c", shape=shape))
    except OSError as error:
        raise SinkError(
            f"cannot write {file} ({error.strerror or error}): free the disk or name another bundle"
        ) from None


def tile_count(path: Path, how: Preprocessing) -> int:
    """How many pieces a picture is to a model, by its header. Raises DataError as `TileGrid.of` does SourceError."""
    if how.tiles is None:
        return 1
    try:
        return len(TileGrid.of(how.roi or (0, 0, *image_size(path)), how.tiles))
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None


def one_piece(path: Path, how: Preprocessing, share: float) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB of a picture, or of its tile at `share` (in 0..1, 1 left out) of all. Raises DataError."""
    pieces = pieces_of_file(path, how)
    return pieces[int(share * len(pieces))]


def clipped_line(paths: Sequence[Path], window: tuple[int, int]) -> str:
    """What the window takes from a few of the pictures."""
    step = -(-len(paths) // WINDOWED)
    shares = [clipped(image, window) for image in map(read_picture, paths[::step]) if image.dtype == np.uint16]
    below, above = (max((share[end] for share in shares), default=0.0) for end in (0, 1))
    return (
        f"levels {window[0]} to {window[1]} become 0 to 255; of {len(shares)} pictures at most {below:.2%} lies below "
        f"and {above:.2%} above"
    )
