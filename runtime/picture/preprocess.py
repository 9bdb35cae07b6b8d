"""The one way from a picture to the uint8 input of the backbone graph: crop, convert to RGB, expose, resize, align.

Training, calibration, verification and the line all call this, so that they see the same pixels. The C
library implements the same fixed-point filter and is tested against it bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.bundle.tiles import TileGrid
from csflow.runtime.errors import DataError, PartNotFound, SourceError
from csflow.runtime.picture.align import aligned
from csflow.runtime.picture.exposure import as_taken, exposed, median_level
from csflow.runtime.picture.images import pixels_of, read_picture
from csflow.runtime.picture.window import eight_bits
from csflow.runtime.types import Pose

__all__ = [
    "Pieces",
    "pieces_if_found",
    "pieces_of",
    "pieces_of_file",
    "place",
    "prepare_file",
    "preprocess",
    "preprocess_placed",
]

SOME = 9
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pieces:
    """A picture as a model takes it: itself, or its tiles, each made when it is asked for."""

    image: NDArray[Any]
    """What they are made of, checked: (S, S, 3) where it is prepared, else the picture."""
    how: Preprocessing
    grid: TileGrid | None = None
    """Where the tiles lie; None where the picture is one piece, which is `image`."""
    pose: Pose | None = None
    """How the part lay where the picture was aligned: maps are moved back by it."""
    median: int | None = None
    """The level that was brought to `how.exposure`; None where none was."""

    def __len__(self) -> int:
        """How many there are."""
        return 1 if self.grid is None else len(self.grid)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB, C-contiguous; tiles count row by row."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.image if self.grid is None else self.at(self.grid.box(index))

    def at(self, box: Box) -> NDArray[np.uint8]:
        """As a tile would be that lies in (x, y, width, height), in pixels of the picture."""
        return _resized(_cut(self.image, self.how, box), self.how)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(len(self)))

    def some(self) -> list[NDArray[np.uint8]]:
        """`SOME` of them, or all, evenly over the picture: enough to see whether it shows a part."""
        count = min(SOME, len(self))
        return [self[(2 * i + 1) * len(self) // (2 * count)] for i in range(count)]

    def as_taken(self) -> list[NDArray[np.uint8]]:
        """`some` as bright as the camera saw them: light that fails must not be made up for."""
        if self.median is None or self.how.exposure is None:
            return self.some()
        return [as_taken(piece, self.how.exposure, self.median) for piece in self.some()]


def pieces_of_file(path: Path, how: Preprocessing) -> Pieces:
    """`pieces_of` the picture in a file. Raises DataError, with its name, where that cannot be done."""
    try:
        return pieces_of(read_picture(path), how)
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None


def pieces_if_found(path: Path, how: Preprocessing) -> Pieces | None:
    """`pieces_of_file`, or None where the picture does not show the part that it is to be aligned by.

    At the line such a picture is an ERROR and has no score; whoever scores many pictures counts it and goes on.
    Raises DataError, with its name, where the picture cannot be read or prepared.
    """
    try:
        return pieces_of(read_picture(path), how)
    except PartNotFound:
        return None
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None


def pieces_of(image: NDArray[Any] | Image.Image, how: Preprocessing) -> Pieces:
    """What of a picture goes through the model: `preprocess` of it, or of each of its tiles.

    Raises SourceError as `preprocess`, and where the picture has no place for a tile, or for too many.
    """
    levels = pixels_of(image) if isinstance(image, Image.Image) else image
    if how.tiles is None:
        return _whole(levels, how)
    _check(levels, how)
    return Pieces(levels, how, TileGrid.of(how.roi or (0, 0, levels.shape[1], levels.shape[0]), how.tiles))


def prepare_file(path: Path, how: Preprocessing) -> NDArray[np.uint8]:
    """`preprocess` of the picture in a file. Raises DataError, with its name, where either cannot be done."""
    try:
        return preprocess(read_picture(path), how)
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None


def preprocess(image: NDArray[Any] | Image.Image, how: Preprocessing) -> NDArray[np.uint8]:
    """`preprocess_placed` without the pose."""
    return preprocess_placed(image, how)[0]


def preprocess_placed(image: NDArray[Any] | Image.Image, how: Preprocessing) -> tuple[NDArray[np.uint8], Pose | None]:
    """Map to 8 bits by the window, paint over what is to be ignored, crop to the region of interest, bring to the
    exposure, resize and align.

    Args:
        image: (H, W, 3) uint8 RGB; with a window (H, W) or (H, W, 3) uint16; or a Pillow image.
        how: the bundle's preprocessing; one without tiles.

    Returns:
        (S, S, 3) uint8 RGB, C-contiguous, S = how.image_size; Pillow's antialiased bilinear filter, columns
        first, then rows, each rounded to 8 bits; aspect ratio not kept (reference: torchvision
        `Resize((S, S))` on the PIL image, which is this up to Pillow 12.1). Nothing outside the region of
        interest, and nothing inside an ignored rectangle, has any influence. And where the part lay, or None where
        the bundle aligns nothing: maps are moved back by it.

    Raises:
        SourceError: not 8 bits a channel, or not more with a window, not (H, W, 3), or a region leaves the image.
        PartNotFound: the part is not found that it is to be aligned by.
    """
    made = _whole(pixels_of(image) if isinstance(image, Image.Image) else image, how)
    return made.image, made.pose


def place(
    picture: NDArray[np.uint8], how: Preprocessing, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Pose | None]:
    """What is resized already, (S, S, 3), aligned where the bundle aligns, and where the part lay.

    Args:
        size: width and height of the camera's picture.

    Raises PartNotFound where the part is not found.
    """
    return (picture, None) if how.align is None else aligned(picture, how.align, how.roi[2:] if how.roi else size)


def _whole(levels: NDArray[Any], how: Preprocessing) -> Pieces:
    squeezed, median = _squeezed(levels, how)
    made, pose = place(squeezed, how, (levels.shape[1], levels.shape[0]))
    return Pieces(made, how, pose=pose, median=median)


def _squeezed(levels: NDArray[Any], how: Preprocessing) -> tuple[NDArray[np.uint8], int | None]:
    """(S, S, 3), and the level that was brought to the exposure, if any was."""
    if _is_prepared(levels, how):
        return np.array(levels, order="C"), None
    _check(levels, how)
    part = _cut(levels, how, how.roi or (0, 0, levels.shape[1], levels.shape[0]))
    if how.exposure is None:
        return _resized(part, how), None
    median = median_level(part, how.exposure)
    return _resized(exposed(part, how.exposure, median), how), median


def _is_prepared(image: NDArray[Any], how: Preprocessing) -> bool:
    """Whether nothing is left to do: Pillow would copy such a picture three times."""
    untouched = how.roi is None and not how.ignore and how.window is None and how.exposure is None
    return untouched and image.dtype == np.uint8 and image.shape == (how.image_size, how.image_size, 3)


def _check(image: NDArray[Any], how: Preprocessing) -> None:
    """Whether a picture is one that the model takes."""
    # A corner tells as well as the whole, and need not be mapped.
    corner = eight_bits(image[:1, :1], how.window)
    if corner.dtype != np.uint8 or corner.ndim != 3 or corner.shape[2] != 3 or 0 in image.shape:
        raise SourceError(f"expected an image (H, W, 3) of type uint8, got {image.shape} {image.dtype}")
    size = image.shape[1], image.shape[0]
    for rectangle in how.ignore:
        _require_inside(size, rectangle, "ignored rectangle")
    if how.roi is not None:
        _require_inside(size, how.roi, "region of interest")


def _cut(image: NDArray[Any], how: Preprocessing, box: Box) -> Image.Image:
    """The part of a picture in `box`, in 8 bits and painted over: cut first, so that nothing is done to the rest."""
    left, top, width, height = box
    part = eight_bits(image[top : top + height, left : left + width], how.window)
    # Pillow's own crop warns about large regions as about decompression bombs.
    picture = Image.fromarray(part)
    for x, y, w, h in how.ignore:
        ends = (max(x - left, 0), max(y - top, 0), min(x - left + w, width), min(y - top + h, height))
        if ends[0] < ends[2] and ends[1] < ends[3]:
            picture.paste(IGNORED_RGB, ends)
    return picture


def _resized(picture: Image.Image, how: Preprocessing) -> NDArray[np.uint8]:
    """(S, S, 3)."""
    # One call would do both passes, but which comes first, and so the rounding, depends on Pillow's version.
    columns = picture.resize((how.image_size, picture.height), Image.Resampling.BILINEAR)
    both = columns.resize((how.image_size, how.image_size), Image.Resampling.BILINEAR)
    return np.array(both, dtype=np.uint8)


def _require_inside(size: tuple[int, int], box: Box, word: str) -> None:
    left, top, width, height = box
    if left + width > size[0] or top + height > size[1]:
        raise SourceError(
            f"{word} x={left} y={top} {width}x{height} leaves the image of {size[0]}x{size[1]} "
            "pixels: set the camera to the format the bundle was made for"
        )
