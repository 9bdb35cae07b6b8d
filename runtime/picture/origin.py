"""By what the pixels of a picture were made, kept in the PNG that csflow saves: another decoder makes other colours.

Files and JPEG streams are decoded alike, by Pillow or as Pillow does. Video and raw cameras are converted from YUV by
OpenCV or by GStreamer, whose matrices, ranges and rounding differ: a saturated red by up to 20 grey levels.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["GENICAM", "GSTREAMER", "OPENCV", "PILLOW", "decoder_in", "decoder_of", "png_info"]

PILLOW = "Pillow"
OPENCV = "OpenCV"
GSTREAMER = "GStreamer"
GENICAM = "GenICam"
KEY = "csflow-decoder"
"""Keyword of the text chunk (PNG, 11.3.3.2)."""


def decoder_of(source: object) -> str:
    """What makes the pixels of a source's frames: its `decoder`, or Pillow; empty for a camera that is not there."""
    return str(getattr(source, "decoder", PILLOW))


def png_info(decoder: str) -> PngInfo:
    """What to give to Pillow's `save` with a picture whose pixels `decoder` made."""
    info = PngInfo()
    info.add_text(KEY, decoder)
    return info


def decoder_in(path: Path) -> str:
    """What made the pixels of a picture that csflow saved; empty for any other file."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return str(picture.info.get(KEY, ""))[:40]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
