"""Whether all that is wrong with a JPEG is padding: a few bytes too many before a marker, as some webcams write them.

Several of Logitech's put one to nine bytes between the last block of a restart interval and the marker after it
(opencv#9477), in whole pictures, all the time. libjpeg calls that corrupt and tells the first such place only, behind
which a real gap could hide. So each interval is decoded by itself, as a picture of one row of blocks: Huffman codes do
not know how the blocks are arranged, and an interval depends on no other (ISO/IEC 10918-1, E.1.4, F.2.2). Padding can
stand for a few bytes that are missing; of 450 gaps of 300 to 1500 bytes in padded pictures none passed.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["MAX_PADDING", "is_padded_only", "tidied", "told_padding"]

MAX_PADDING = 16
"""So many bytes too many before a marker are padding; where data are missing, hundreds are left over."""
FRAME, RESTART_INTERVAL, SCAN = (0xC0, 0xC1), 0xDD, 0xDA
_TOLD = re.compile(r"(\d+) extraneous bytes before marker")
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_OTHER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")


class _Picture(NamedTuple):
    """A baseline picture of one scan, taken apart."""

    before: bytes
    """Up to the height and width in the frame header."""
    after: bytes
    """From behind them to the end of the scan header."""
    blocks: tuple[int, int]
    """Height and width in pixels of one block of all components (an MCU)."""
    total: int
    """How many there are."""
    interval: int
    """How many lie between two restart markers."""
    scan: bytes


def told_padding(reason: str) -> bool:
    """Whether what libjpeg says of a picture is about no more than padding."""
    found = _TOLD.search(reason)
    return found is not None and int(found[1]) <= MAX_PADDING


def is_padded_only(data: bytes) -> bool:
    """Whether every restart interval of a JPEG is whole; `data` is tidy and ends with its end-of-image marker."""
    import simplejpeg

    picture = _taken_apart(data)
    for piece in () if picture is None else _intervals(picture):
        try:
            simplejpeg.decode_jpeg(piece, "GRAY")
        except ValueError as error:
            if not told_padding(str(error)):
                return False
    return picture is not None and _in_order(picture)


def _in_order(picture: _Picture) -> bool:
    found = [marker[0] - 0xD0 for marker in _RESTART.findall(picture.scan)]
    return found == [i % 8 for i in range(math.ceil(picture.total / picture.interval) - 1)]


def _intervals(picture: _Picture) -> Iterator[bytes]:
    """Each as a JPEG of its own, one block high."""
    height, width = picture.blocks
    for i, scan in enumerate(_RESTART.split(picture.scan)[::2]):
        count = min(picture.interval, max(picture.total - i * picture.interval, 1))
        # Beyond the widest picture that there may be, several rows of one block.
        size = (height, count * width) if count * width <= 0xFFFF else (count * height, width)
        yield (
            picture.before
            + struct.pack(">HH", *(min(side, 0xFFFF) for side in size))
            + picture.after
            + scan
            + b"\xff\xd9"
        )


def tidied(data: bytes) -> bytes:
    """The same JPEG without stray bytes between the segments of its header; libjpeg would tell of nothing else."""
    head, at = b"".join(_segments(data)), _scan_start(data)
    return data if len(head) == at else head + data[at:]


def _segments(data: bytes) -> Iterator[bytes]:
    """Start of image and the segments up to the scan's, each with its marker."""
    yield data[:2]
    for found, length in _markers(data):
        yield b"\xff" + found[1] + data[found.end() : found.end() + length]


def _markers(data: bytes) -> Iterator[tuple[re.Match[bytes], int]]:
    """Marker and length of each segment up to the scan's."""
    at = 2
    while (found := _MARKER.search(data, at)) and len(data) >= found.end() + 2:
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        yield found, length
        if found[1][0] == SCAN:
            return
        at = found.end() + length


def _scan_start(data: bytes) -> int:
    *_, (last, length) = _markers(data)
    return last.end() + length


def _taken_apart(data: bytes) -> _Picture | None:
    """None for what is not baseline, or has several scans; `data` is tidy."""
    parts = {segment[1]: segment[2:] for segment in _segments(data)}
    frame = next((parts[kind] for kind in FRAME if kind in parts), b"")
    start = _scan_start(data)
    if len(frame) < 11 or len(frame) < 8 + 3 * frame[7] or _OTHER_SCAN.search(data, start, len(data) - 2):
        return None
    height, width = struct.unpack(">HH", frame[3:7])
    factors = [frame[9 + 3 * i] for i in range(frame[7])]
    # A component alone is not interleaved: its blocks are of 8 x 8 whatever its factors say (A.2.2).
    across, down = (1, 1) if len(factors) == 1 else (max(f >> 4 for f in factors), max(f & 15 for f in factors))
    if not (across and down and height and width):
        return None
    count = math.ceil(height / (8 * down)) * math.ceil(width / (8 * across))
    interval = int.from_bytes(parts.get(RESTART_INTERVAL, b"")[2:4], "big") or count
    place = data.index(frame) + 3
    before, after, scan = data[:place], data[place + 4 : start], data[start:-2]
    return _Picture(before, after, (8 * down, 8 * across), count, interval, scan)
