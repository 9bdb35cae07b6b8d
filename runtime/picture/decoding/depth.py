"""How many bits the pixels of a picture have, by its header, and the levels of a PGM as they were stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

__all__ = ["as_stored", "highest_level", "is_deep"]

TIFF_BITS = 258
"""Tag BitsPerSample (TIFF 6.0)."""


def is_deep(picture: Image.Image) -> bool:
    """Whether the header states more than 8 bits a channel: Pillow cuts 16-bit colour to 8 without a word."""
    if picture.mode.startswith(("I", "F")):
        return True
    if isinstance(picture, TiffImageFile):
        return any(bits > 8 for bits in picture.tag_v2.get(TIFF_BITS, ()))
    # What the decoder is told: a PNG's channels and depth as in 'RGB;16B', a PPM's highest value.
    told = [tile[3] for tile in getattr(picture, "tile", [])]
    return any(";16" in t if isinstance(t, str) else picture.format == "PPM" and t[1] > 255 for t in told)


def highest_level(picture: Image.Image) -> int | None:
    """The highest level that a PGM's header states, of one not loaded yet; None where Pillow does not scale by it."""
    told = [tile[3] for tile in getattr(picture, "tile", [])] if picture.format == "PPM" else []
    return next((int(args[1]) for args in told if isinstance(args, tuple)), None)


def as_stored(levels: NDArray[np.uint16], highest: int) -> NDArray[np.uint16]:
    """Levels that Pillow spread from 0 to `highest` over 0 to 65535, as they were: rounding goes back exactly."""
    return ((levels.astype(np.uint32) * highest + 32767) // 65535).astype(np.uint16)
