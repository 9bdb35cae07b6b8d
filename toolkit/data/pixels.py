"""The size at which an evaluation compares maps with masks, and keeps them, so that memory has a bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["compared_side", "compared_size", "kept_map", "resized_map"]

MASK_SIDE_PX = 384
MASK_PIXELS = 100_000_000
"""Of all pictures together."""


def compared_side(pictures: int) -> int:
    """Longer side in pixels at which maps and masks of so many pictures are compared."""
    return min(MASK_SIDE_PX, math.isqrt(MASK_PIXELS // pictures))


def compared_size(size: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """(width, height) in pixels, reduced so that the longer side is at most `longest_px`; never enlarged."""
    factor = min(1.0, longest_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized_map(anomaly_map: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """(height, width) float32, bilinear, cell centres aligned: torch's interpolate with align_corners=False.

    Enlarging is what the reference's evaluate.py does; a map that is larger is averaged.
    """
    picture = Image.fromarray(np.asarray(anomaly_map, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32)


def kept_map(anomaly_map: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """The map, or what it is compared as where that is smaller: 'product-mean-z2' maps are as large as the frame."""
    if anomaly_map.size <= size[0] * size[1]:
        return np.array(anomaly_map, dtype=np.float32)
    return resized_map(anomaly_map, size)
