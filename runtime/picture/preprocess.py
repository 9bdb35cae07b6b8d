"""The one way from a picture to the uint8 input of the backbone graph: crop, convert to RGB, resize.

Training, calibration, verification and the line all call this, so that they see the same pixels. The C
library implements the same fixed-point filter and is tested against it bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.errors import SourceError

__all__ = ["preprocess", "to_rgb"]


def preprocess(image: NDArray[np.uint8] | Image.Image, how: Preprocessing) -> NDArray[np.uint8]:
    """Crop to the region of interest, paint over what is to be ignored, and resize.

    Args:
        image: (H, W, 3) uint8 RGB, or a Pillow image of 8 bits a channel (converted to RGB).
        how: the bundle's preprocessing.

    Returns:
        (S, S, 3) uint8 RGB, C-contiguous, S = how.image_size; Pillow's antialiased bilinear filter, columns
        first, then rows, each rounded to 8 bits; aspect ratio not kept (reference: torchvision
        `Resize((S, S))` on the PIL image, which is this up to Pillow 12.1). Nothing outside the region of
        interest, and nothing inside an ignored rectangle, has any influence.

    Raises:
        SourceError: not 8 bits a channel, not (H, W, 3), or a region leaves the image.
    """
    side = how.image_size
    if isinstance(image, np.ndarray) and _is_prepared(image, how):
        return np.array(image, order="C")
    picture = to_rgb(image) if isinstance(image, Image.Image) else _picture(image)
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


def to_rgb(picture: Image.Image) -> Image.Image:
    """`picture` as RGB. Raises SourceError above 8 bits a channel, which Pillow would cut off silently."""
    if picture.mode.startswith(("I", "F")):
        raise SourceError(f"picture mode {picture.mode} has more than 8 bits a channel: convert it to 8-bit")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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
