"""From a camera's samples to grey or RGB: the mosaic of Bayer (OpenCV's bilinear), and YUV 4:2:2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import BackendUnavailable, SourceError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.picture.pfnc import PixelFormat

__all__ = ["grey_or_rgb", "three_channels"]

PATTERNS = {"GR": "GRBG", "RG": "RGGB", "GB": "GBRG", "BG": "BGGR"}
"""First row of the mosaic by PFNC: both rows, as OpenCV's constants spell them."""
Samples = NDArray[np.uint8] | NDArray[np.uint16]


def grey_or_rgb(samples: Samples, name: PixelFormat) -> Samples:
    """The picture that a camera's samples are.

    Args:
        samples: (H, W * samples) uint8 or uint16, as `pfnc.unpack` gives them.
        name: what they are.

    Returns:
        (H, W) grey or (H, W, 3) RGB, of the type of `samples`.

    Raises:
        BackendUnavailable: a mosaic, and OpenCV does not load.
        SourceError: a mosaic of less than 2 x 2 pixels, or an odd width of 4:2:2.
    """
    height, across = samples.shape
    if name.kind == "Mono":
        return samples
    if name.kind.startswith("Bayer"):
        return _mosaic(samples, name.kind[5:])
    if across % (2 * name.samples) and name.kind.startswith("Y"):
        raise SourceError(f"pictures in {name.kind} 4:2:2 have an even width: set the camera's Width")
    if name.kind.startswith("Y"):
        return _from_yuv(samples.astype(np.float32), name)
    pixels: Any = samples.reshape(height, across // name.samples, name.samples)
    ordered = pixels[:, :, :3] if name.kind.startswith("RGB") else pixels[:, :, 2::-1]
    rgb: Samples = ordered.copy()
    return rgb


def three_channels(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with three equal channels, C-contiguous."""
    # A seventh of the time that numpy takes for a copy of the broadcast.
    rgb = np.empty((*grey.shape, 3), np.uint8)
    for channel in range(3):
        rgb[..., channel] = grey
    return rgb


def _mosaic(samples: Samples, pattern: str) -> Samples:
    try:
        import cv2
    except ImportError as error:
        raise BackendUnavailable(
            f"Bayer mosaics need OpenCV, which does not load ({error}): {pip_install('camera')}"
        ) from None
    if min(samples.shape) < 2:
        raise SourceError("a Bayer mosaic has at least 2 x 2 pixels: set the camera's Width and Height")
    made: Any = cv2.cvtColor(np.ascontiguousarray(samples), getattr(cv2, f"COLOR_Bayer{PATTERNS[pattern]}2RGB"))
    rgb: Samples = made
    return rgb


def _from_yuv(samples: NDArray[np.float32], name: PixelFormat) -> NDArray[np.uint8]:
    """YUV and YCbCr use all levels with the matrix of BT.601 (PFNC 2.4, 7.4; JFIF), YCbCr601 and 709 16 to 235."""
    red, blue = (0.2126, 0.0722) if name.kind == "YCbCr709" else (0.299, 0.114)
    studio = name.kind in ("YCbCr601", "YCbCr709")
    luma, chroma = (1, 0) if name.packing == "UYVY" else (0, 1)
    y = samples[:, luma::2]
    u, v = (np.repeat(samples[:, chroma + shift :: 4], 2, axis=1) - 128 for shift in (0, 2))
    if studio:
        y, u, v = (y - 16) * (255 / 219), u * (255 / 224), v * (255 / 224)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    rgb: NDArray[np.uint8] = np.clip(np.rint(np.stack([r, g, b], axis=2)), 0, 255).astype(np.uint8)
    return rgb
