"""JPEG pictures from cameras, decoded strictly: one that was cut off or has a hole is no picture.

A JPEG ends with the marker EOI (ISO/IEC 10918-1, B.1.1.3). A tolerant decoder fills what is missing with grey, with the
last row, or with whatever its buffer held, perhaps an older good part, and reports success.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import DataError
from csflow.runtime.picture.decoding.jpeg_padding import MAX_PADDING, is_padded_only, tidied, told_padding
from csflow.runtime.picture.images import pixel_limit
from csflow.runtime.picture.orientation import stated_in, upright

__all__ = ["decode_jpeg", "end_of_jpeg", "is_rgb_or_grey"]

START, END, SCAN = 0xD8, 0xD9, 0xDA
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker within a scan other than a stuffed zero and a restart."""


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 RGB, equal to Pillow's (islow IDCT, smooth upsampling), upright as its EXIF says.

    Raises:
        DataError: `data` is no JPEG, has no end-of-image marker, lacks data in between, or has too many pixels.
        ConfigError: as `pixel_limit`.
        ImportError: simplejpeg is not installed.
    """
    import simplejpeg

    end = end_of_jpeg(data)
    if not end:
        what = "a JPEG without its end" if data[:2] == b"\xff\xd8" else "something else than a JPEG"
        raise DataError(f"{what} ({len(data)} bytes): it was cut off or damaged on its way")
    data = tidied(data[:end])
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError as error:
        raise _damaged(error) from None
    if height * width > pixel_limit():
        raise DataError(f"a JPEG that claims {width}x{height} pixels; at most {pixel_limit()} are taken")
    # Not np.empty: whatever a decoder left out would be an older picture.
    image = np.zeros((height, width, 3), dtype=np.uint8)
    try:
        simplejpeg.decode_jpeg(data, "RGB", buffer=image)
    except ValueError as error:
        # What libjpeg only complains about, it decodes all the same.
        if not told_padding(str(error)) or not is_padded_only(data):
            raise _damaged(error) from None
    orientation = stated_in(data)
    return image if orientation == 1 else upright(image, orientation)


def is_rgb_or_grey(data: bytes) -> bool:
    """Whether `data` begins with a JPEG of a kind that cameras write; printers' have four inks. Raises ImportError."""
    if not data:
        return False
    import simplejpeg

    try:
        return str(simplejpeg.decode_jpeg_header(data, strict=False)[2]) not in ("CMYK", "YCCK")
    except ValueError:
        return True  # damaged in its header: for `decode_jpeg` to say


def _damaged(error: ValueError) -> DataError:
    return DataError(f"a JPEG that is cut off or damaged ({' '.join(str(error).split())[:120]})")


def end_of_jpeg(data: bytes | bytearray, start: int = 0) -> int:
    """Offset behind the end-of-image marker of the JPEG that begins at `start`; 0 where it does not end in `data`.

    The segments are followed, so that the end of a thumbnail inside one is not mistaken for the end of the picture.
    """
    if data[start : start + 2] != bytes((0xFF, START)):
        return 0
    position = start + 2
    while (position := data.find(b"\xff", position, position + MAX_PADDING + 1)) >= 0 and position + 4 <= len(data):
        kind = data[position + 1]
        if kind == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if kind == SCAN:
            found = _MARKER.search(data, position)
            if found is None or found[1][0] == START:
                return 0
            if found[1][0] == END:
                return found.end()
            position = found.end() - 2
    return 0
