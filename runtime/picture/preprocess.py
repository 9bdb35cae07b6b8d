"""The one way from a picture to the uint8 input of the backbone graph: crop, convert to RGB, resize, align.

Training, calibration, verification and the line all call this, so that they see the same pixels. The C
library implements the same fixed-point filter and is tested against it bit for bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.picture.align import aligned
from csflow.runtime.picture.images import pixels_of, read_picture
from csflow.runtime.picture.window import eight_bits
from csflow.runtime.types import Pose

__all__ = ["place", "place_file", "prepare_file", "preprocess", "preprocess_placed"]


def prepare_file(path: Path, how: Preprocessing) -> NDArray[np.uint8]:
    """`preprocess` of the picture in a file. Raises DataError, with its name, where either cannot be done."""
    return place_file(path, how)[0]


def place_file(path: Path, how: Preprocessing) -> tuple[NDArray[np.uint8], Pose | None]:
    """`preprocess_placed` of the picture in a file. Raises DataError, with its name, where either cannot be done."""
    try:
        return preprocess_placed(read_picture(path), how)
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None


def preprocess(image: NDArray[Any] | Image.Image, how: Preprocessing) -> NDArray[np.uint8]:
    """`preprocess_placed` without the pose."""
    return preprocess_placed(image, how)[0]


def preprocess_placed(image: NDArray[Any] | Image.Image, how: Preprocessing) -> tuple[NDArray[np.uint8], Pose | None]:
    """Map to 8 bits by the window, paint over what is to be ignored, crop to the region of interest, resize and align.

    Args:
        image: (H, W, 3) uint8 RGB; with a window (H, W) or (H, W, 3) uint16; or a Pillow image.
        how: the bundle's preprocessing.

    Returns:
        (S, S, 3) uint8 RGB, C-contiguous, S = how.image_size; Pillow's antialiased bilinear filter, columns
        first, then rows, each rounded to 8 bits; aspect ratio not kept (reference: torchvision
        `Resize((S, S))` on the PIL image, which is this up to Pillow 12.1). Nothing outside the region of
        interest, and nothing inside an ignored rectangle, has any influence. And where the part lay, or None where
        the bundle aligns nothing: maps are moved back by it.

    Raises:
        SourceError: not 8 bits a channel, or not more with a window, not (H, W, 3), a region leaves the image, or the
            part is not found that it is to be aligned by.
    """
    size = image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])
    return place(_resized(image, how), how, size)


def place(
    picture: NDArray[np.uint8], how: Preprocessing, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Pose | None]:
    """What is resized already, (S, S, 3), aligned where the bundle aligns, and where the part lay.

    Args:
        size: width and height of the camera's picture.

    Raises SourceError where the part is not found.
    """
    return (picture, None) if how.align is None else aligned(picture, how.align, how.roi[2:] if how.roi else size)


def _resized(image: NDArray[Any] | Image.Image, how: Preprocessing) -> NDArray[np.uint8]:
    side = how.image_size
    levels = pixels_of(image) if isinstance(image, Image.Image) else image
    mapped = eight_bits(levels, how.window)
    if _is_prepared(mapped, how):
        return np.array(mapped, order="C")
    picture = _picture(mapped)
    if how.ignore:
        picture = _painted(picture, how.ignore)
    if how.roi is not None:
        left, top, right, bottom = _box(picture.size, how.roi, "region of interest")
        # Pillow's crop warns about large regions as about decompression bombs.
        picture = Image.fromarray(np.asarray(picture)[top:bottom, left:right])
    # One call would do both passes, but which comes first, and so the rounding, depends on Pillow's version.
    columns = picture.resize((side, picture.height), Image.Resampling.BILINEAR)
    both = columns.resize((side, side), Image.Resampling.BILINEAR)
    return np.array(both, dtype=np.uint8)


def _is_prepared(image: NDArray[np.uint8], how: Preprocessing) -> bool:
    """Whether nothing is left to do: Pillow would copy such a picture three times."""
    untouched = how.roi is None and not how.ignore
    return untouched and image.dtype == np.uint8 and image.shape == (how.image_size, how.image_size, 3)


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise SourceError(f"expected an image (H, W, 3) of type uint8, got {image.shape} {image.dtype}")
    return Image.fromarray(image)


def _painted(picture: Image.Image, rectangles: tuple[tuple[int, int, int, int], ...]) -> Image.Image:
    painted = picture.copy()
    for rectangle in rectangles:
        painted.paste(IGNORED_RGB, _box(picture.size, rectangle, "ignored rectangle"))
    return painted


def _box(size: tuple[int, int], roi: tuple[int, int, int, int], word: str) -> tuple[int, int, int, int]:
    width, height = size
    left, top, roi_width, roi_height = roi
    box = (left, top, left + roi_width, top + roi_height)
    if box[2] > width or box[3] > height:
        raise SourceError(
            f"{word} x={left} y={top} {roi_width}x{roi_height} leaves the image of {width}x{height} "
            "pixels: set the camera to the format the bundle was made for"
        )
    return box
