"""From more than 8 bits to 8: the window of a bundle, two levels between which grey is spread over 0 to 255.

Levels are those that the camera or the file gives: a 12-bit camera's reach up to 4095. One formula, in whole numbers,
for training, calibration, the line and libcsflow.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError
from csflow.runtime.picture.colour import three_channels

__all__ = ["Window", "clipped", "clipped_by", "eight_bits", "in_window", "suggested", "window_table"]

LEVELS = 1 << 16
SUGGESTED = (0.1, 99.9)
"""Percentiles of a picture's levels."""
Window = tuple[int, int]
Shares = tuple[float, float]
STEP = 4


@functools.lru_cache(maxsize=8)
def window_table(window: Window) -> NDArray[np.uint8]:
    """(65536,) uint8: what each level becomes.

    `low` and below give 0, `high` and above 255, between them (level - low) * 255 / (high - low), halves rounded up.
    """
    low, high = window
    span = high - low
    above = np.clip(np.arange(LEVELS, dtype=np.int64) - low, 0, span)
    table: NDArray[np.uint8] = ((2 * 255 * above + span) // (2 * span)).astype(np.uint8)
    table.setflags(write=False)
    return table


def in_window(image: NDArray[np.uint16], window: Window) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint16 as (H, W, 3) uint8 RGB, C-contiguous."""
    mapped = window_table(window).take(image)
    return three_channels(mapped) if mapped.ndim == 2 else np.ascontiguousarray(mapped)


def eight_bits(image: NDArray[Any], window: Window | None) -> NDArray[Any]:
    """A picture as a model with this window takes it; one of 8 bits, for a model without, is given back as it is.

    Raises SourceError where the picture has more than 8 bits and there is no window, or 8 bits and there is one.
    """
    if image.dtype == np.uint16:
        if window is None:
            raise SourceError(
                "the picture has more than 8 bits and the model no window that maps them to 8: choose one with "
                "'csflow roi PICTURE' and train with --window LOW,HIGH, or take pictures of 8 bits"
            )
        return in_window(image, window)
    if window is not None and image.dtype == np.uint8:
        raise SourceError(
            f"the picture has 8 bits, the model takes levels {window[0]} to {window[1]} of deeper ones: let the camera "
            "send what the model was trained with (genicam: PixelFormat=Mono12), and save pictures as 16-bit PNG"
        )
    return image


def clipped(image: NDArray[np.uint16], window: Window) -> Shares:
    """Shares of a picture's samples, in 0..1, below the window and above it: what the model cannot tell apart."""
    return float((image < window[0]).mean()), float((image > window[1]).mean())


def clipped_by(window: Window | None, image: NDArray[Any], levels: NDArray[np.uint16] | None) -> Shares | None:
    """`clipped` of every fourth pixel of every fourth row, which tells as much; None without a window.

    Args:
        image: the picture, mapped to 8 bits where there are `levels`, which it was before.
    """
    return None if window is None else clipped((image if levels is None else levels)[::STEP, ::STEP], window)


def suggested(image: NDArray[np.uint16]) -> Window:
    """A window that leaves out 0.1 % of the picture's samples at either end."""
    low, high = (int(level) for level in np.percentile(image, SUGGESTED, method="nearest"))
    return (low, high) if low < high else (max(0, low - 1), max(high, 1))
