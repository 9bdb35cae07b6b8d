"""GStreamer Data Protocol 1.0, as the element `gdppay` writes it: raw pictures with their size, over a pipe.

Every packet has a header of 62 bytes, big-endian: version (2), flags, padding, type (2), payload length (4),
timestamp, duration, offset, end offset (8 each), buffer flags (2), 14 bytes reserved, two checksums (2 each).
The payload of a caps packet is text such as 'video/x-raw, format=(string)RGB, width=(int)640, ...'; the buffer
packets after it hold pictures of that size, each row padded to a multiple of four bytes.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError

__all__ = ["MAX_SIDE_PX", "GdpReader", "Packet"]

HEADER = struct.Struct(">BBxxHI")
HEADER_BYTES = 62
BUFFER, CAPS = 1, 2
MAX_SIDE_PX = 32768
MAX_PAYLOAD_BYTES = 3 * 8192 * 8192
_CAPS = re.compile(r"(format|width|height)=\((?:string|int)\)(\w+)")


@dataclass(frozen=True)
class Packet:
    """A picture, or the announcement that it is of the wrong length."""

    image: NDArray[np.uint8] | None
    """(H, W, 3) uint8 RGB; None where the payload does not hold a whole picture."""
    problem: str = ""


class GdpReader:
    """Reads packets from a descriptor that does not block, as far as there are bytes."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._size: tuple[int, int] | None = None
        self._expect(HEADER_BYTES)
        self._type: int | None = None

    def read(self) -> Packet | None:
        """The next picture, or None when the bytes of a whole one are not there yet.

        Raises:
            EOFError: the writer closed the pipe.
            SourceError: what comes is not GDP, or not RGB.
        """
        while self._fill():
            packet = self._complete()
            if packet is not None:
                return packet
        return None

    def _expect(self, size: int) -> None:
        self._buffer = np.empty(size, dtype=np.uint8)
        self._filled = 0

    def _fill(self) -> bool:
        while self._filled < self._buffer.size:
            try:
                count = os.readv(self._handle, [self._buffer.data[self._filled :]])
            except BlockingIOError:
                return False
            if count == 0:
                raise EOFError
            self._filled += count
        return True

    def _complete(self) -> Packet | None:
        data = self._buffer
        if self._type is None:
            major, _minor, kind, length = HEADER.unpack_from(data.data)
            if major != 1 or length > MAX_PAYLOAD_BYTES:
                raise SourceError("the pipeline writes something else than GDP: let csflow append gdppay and fdsink")
            self._type = kind
            self._expect(length)
            return None
        kind, self._type = self._type, None
        self._expect(HEADER_BYTES)
        if kind == CAPS:
            self._size = _picture_size(data.tobytes().decode("ascii", "replace"))
        return self._picture(data) if kind == BUFFER else None

    def _picture(self, data: NDArray[np.uint8]) -> Packet:
        if self._size is None:
            raise SourceError("the pipeline sent a picture without its size: end it with raw video")
        width, height = self._size
        stride = -(-3 * width // 4) * 4
        if data.size != stride * height:
            return Packet(None, f"{data.size} bytes instead of the {stride * height} of a {width}x{height} picture")
        rows = data.reshape(height, stride)[:, : 3 * width]
        return Packet(np.ascontiguousarray(rows).reshape(height, width, 3))


def _picture_size(caps: str) -> tuple[int, int]:
    found = dict(_CAPS.findall(caps))
    sides = [int(found.get(name, "0")) for name in ("width", "height")]
    if found.get("format") != "RGB" or not all(1 <= side <= MAX_SIDE_PX for side in sides):
        raise SourceError(f"the pipeline sends {caps[:80]!r} instead of RGB pictures: end it with raw video")
    return sides[0], sides[1]
