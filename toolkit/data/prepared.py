"""Pictures as a model sees them, side by side in one file: for trainings that read them again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import SinkError
from csflow.runtime.picture.images import read_picture
from csflow.runtime.picture.preprocess import prepare_file
from csflow.runtime.picture.window import clipped

__all__ = ["clipped_line", "prepared_pictures"]

WINDOWED = 8
"""Pictures of which it is told what a window takes from them."""


def prepared_pictures(paths: Sequence[Path], how: Preprocessing, file: Path, advance: Callable[[int], None]) -> Tensor:
    """(N, S, S, 3) uint8 RGB, read from `file` through the page cache; it is written anew.

    Args:
        advance: called with 1 after each picture.

    Raises:
        DataError: a picture cannot be read.
        SourceError: a region of interest leaves one.
        SinkError: the disk has no room, or cannot be written.
    """
    shape = (len(paths), how.image_size, how.image_size, 3)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            for path in paths:
                opened.write(prepare_file(path, how).tobytes())
                advance(1)
        # Copied where it is written to, which nobody does: torch takes no array that is for reading alone.
        return torch.from_numpy(np.memmap(file, np.uint8, "c", shape=shape))
    except OSError as error:
        raise SinkError(f"cannot write {file} ({error}): free the disk or name another --bundle") from None


def clipped_line(paths: Sequence[Path], window: tuple[int, int]) -> str:
    """What the window takes from a few of the pictures."""
    step = -(-len(paths) // WINDOWED)
    shares = [clipped(image, window) for image in map(read_picture, paths[::step]) if image.dtype == np.uint16]
    below, above = (max((share[end] for share in shares), default=0.0) for end in (0, 1))
    return (
        f"levels {window[0]} to {window[1]} become 0 to 255; of {len(shares)} pictures at most {below:.2%} lies below "
        f"and {above:.2%} above"
    )
