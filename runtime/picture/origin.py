"""Where a picture came from, kept in the PNG that csflow saves: what made its pixels, and a record.

Another decoder makes other colours. Files and JPEG streams are decoded alike, by Pillow or as Pillow does. Video and
raw cameras are converted from YUV by OpenCV or by GStreamer, whose matrices, ranges and rounding differ: a saturated
red by up to 20 grey levels.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from csflow.runtime.errors import DataError

__all__ = [
    "CAPTURE",
    "GENICAM",
    "GSTREAMER",
    "OPENCV",
    "PILLOW",
    "RESULT",
    "decoder_in",
    "decoder_of",
    "png_info",
    "raw_png",
    "record_in",
]

PILLOW = "Pillow"
OPENCV = "OpenCV"
GSTREAMER = "GStreamer"
GENICAM = "GenICam"
KEY = "csflow-decoder"
"""Keyword of the text chunk (PNG, 11.3.3.2)."""
CAPTURE = "csflow-capture"
"""Keyword of the record of how a picture for a data set was taken: a JSON object."""
RESULT = "csflow-result"
"""Keyword of the record of what csflow said about a picture: a JSON object, as in the lines of --results."""
LONGEST_RECORD = 1 << 16


def decoder_of(source: object) -> str:
    """What makes the pixels of a source's frames: its `decoder`, or Pillow; empty for a camera that is not there."""
    return str(getattr(source, "decoder", PILLOW))


def png_info(decoder: str) -> PngInfo:
    """What to give to Pillow's `save` with a picture whose pixels `decoder` made."""
    info = PngInfo()
    info.add_text(KEY, decoder)
    return info


def raw_png(image: NDArray[Any], decoder: str, keyword: str, record: dict[str, Any]) -> bytes:
    """A PNG of the very pixels, with their decoder and a record in a text chunk `keyword`.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) uint16 grey.

    Raises DataError for colours of 16 bits, which Pillow does not write.
    """
    if image.dtype == np.uint16 and image.ndim == 3:
        raise DataError("colours of more than 8 bits cannot be kept as PNG: let the camera send grey, or 8 bits")
    info = png_info(decoder)
    info.add_text(keyword, json.dumps(record))
    buffer = io.BytesIO()
    # Four times as fast as Pillow's usual level, for a file that is a third larger: the camera goes on meanwhile.
    Image.fromarray(image).save(buffer, "PNG", compress_level=1, pnginfo=info)
    return buffer.getvalue()


def record_in(path: Path, keyword: str) -> dict[str, Any]:
    """The record that `raw_png` wrote; empty where there is none."""
    try:
        record = json.loads(_text_in(path, keyword)[:LONGEST_RECORD] or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def decoder_in(path: Path) -> str:
    """What made the pixels of a picture that csflow saved; empty for any other file."""
    return _text_in(path, KEY)[:40]


def _text_in(path: Path, keyword: str) -> str:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return str(picture.info.get(keyword, ""))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
