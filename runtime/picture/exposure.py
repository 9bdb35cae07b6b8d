"""Pictures of one brightness: levels times what brings their median to the level that the bundle states.

For parts that are photographed at several exposures, or that reflect more or less light and are all good. One gain for
the three channels, in whole numbers, alike in training, calibration, the line and libcsflow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["as_taken", "exposed", "median_level"]

MAX_GAIN = 16
"""A picture without light must not become one of noise."""


def median_level(picture: Image.Image, exposure: int) -> int:
    """The least level that at least half of an RGB picture's samples, all channels together, do not exceed.

    It is at least `exposure` / 16, rounded up, which bounds the gain.
    """
    counts = np.array(picture.histogram()).reshape(-1, 256).sum(axis=0)
    median = int(np.searchsorted(2 * np.cumsum(counts), counts.sum()))
    return max(median, -(-exposure // MAX_GAIN))


def exposed(picture: Image.Image, exposure: int, median: int) -> Image.Image:
    """Every sample x of an RGB picture becomes x * exposure / median, halves rounded up, 255 at most."""
    table = [min(255, (2 * exposure * x + median) // (2 * median)) for x in range(256)]
    return picture.point(table * 3)


def as_taken(image: NDArray[np.uint8], exposure: int, median: int) -> NDArray[np.uint8]:
    """`exposed` undone, as far as nothing was cut off at 255: (S, S, 3) uint8 as bright as it was before."""
    table = np.minimum(255, (2 * median * np.arange(256) + exposure) // (2 * exposure)).astype(np.uint8)
    return table[image]
