"""Turning pictures upright as their EXIF orientation says (CIPA DC-008, tag 0x0112): one rule for all sources.

A part that was photographed with the camera on its side must reach the model as it was seen, whether the file stores
its pixels turned or says how to turn them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from csflow.runtime.picture.decoding.png import says_more_behind_its_pixels

__all__ = ["TURNED", "orientation_of", "stated_in", "upright"]

TAG = 0x0112
TURNED = (5, 6, 7, 8)
"""Orientations whose width is the upright picture's height."""


def orientation_of(picture: Image.Image) -> int:
    """The orientation 1 to 8 that an opened picture states; 1, upright, where it states none that can be read."""
    try:
        stated = _exif(picture).get(TAG, 1)
    except Exception:  # noqa: BLE001 - Pillow raises a dozen kinds on damaged metadata, which no pixel depends on
        return 1
    return stated if stated in range(1, 9) else 1


def _exif(picture: Image.Image) -> Image.Exif:
    """Of a PNG without its pixels where nothing follows them: Pillow decodes all of them to look."""
    if isinstance(picture, PngImageFile) and picture.fp is not None and not says_more_behind_its_pixels(picture.fp):
        return Image.Image.getexif(picture)
    return picture.getexif()


def upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W) or (H, W, 3) as it was seen; for orientations 5 to 8 the sides of the result are exchanged."""
    if orientation in TURNED:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def stated_in(data: bytes) -> int:
    """The orientation that a JPEG states."""
    if b"Exif\x00\x00" not in data[: 1 << 16]:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            return orientation_of(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1
