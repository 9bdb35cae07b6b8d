"""GStreamer Data Protocol 1.0, as the element `gdppay` writes it: raw pictures with their size, over a pipe.

Every packet has a header of 62 bytes, big-endian: version (2), flags, padding, type (2), payload length (4),
timestamp, duration, offset, end offset (8 each), buffer flags (2), 14 bytes reserved, two checksums (2 each).
The payload of a caps packet is text such as 'video/x-raw, format=(string)RGB, width=(int)640, ...'; the buffer
packets after it hold pictures of that size, each row padded to a multiple of four bytes, or, where it is 'image/jpeg',
a JPEG each.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.machine.wanted import WantedBytes
from csflow.runtime.picture.images import pixel_limit
from csflow.runtime.picture.jpeg import decode_jpeg

__all__ = ["MAX_SIDE_PX", "GdpReader", "Packet"]

HEADER = struct.Struct(">BBxxHI")
HEADER_BYTES = 62
FLAGS = struct.Struct(">H")
FLAGS_AT = 42
CORRUPTED = 0x100
"""GST_BUFFER_FLAG_CORRUPTED: a decoder or depayloader knows that the picture is damaged."""
BUFFER, CAPS = 1, 2
JPEG = "image/jpeg"
CHANNELS = {"RGB": 3, "GRAY8": 1}
MAX_SIDE_PX = 32768
_CAPS = re.compile(r"(format|width|height)=\((?:string|int)\)(\w+)")


@dataclass(frozen=True)
class Packet:
    """A picture, or what is wrong with it."""

    image: NDArray[np.uint8] | None
    """(H, W, 3) uint8 RGB; None where the payload does not hold a whole and undamaged picture."""
    problem: str = ""


class GdpReader:
    """Reads packets from a descriptor that does not block, as far as there are bytes."""

    def __init__(self, handle: int) -> None:
        self._wanted = WantedBytes(handle, HEADER_BYTES)
        self._format: tuple[str, int, int] | None = None
        self._type: int | None = None
        self._flags = 0

    def read(self) -> Packet | None:
        """The next picture, or None when the bytes of a whole one are not there yet.

        Raises:
            EOFError: the writer closed the pipe.
            SourceError: what comes is not GDP, or no 8-bit picture.
        """
        while self._wanted.fill():
            packet = self._complete()
            if packet is not None:
                return packet
        return None

    def _complete(self) -> Packet | None:
        data = self._wanted.data
        if self._type is None:
            major, _minor, kind, length = HEADER.unpack_from(data.data)
            if major != 1 or length > 4 * pixel_limit():
                raise SourceError("the pipeline writes something else than GDP: let csflow append gdppay and fdsink")
            self._type = kind
            (self._flags,) = FLAGS.unpack_from(data.data, FLAGS_AT)
            self._wanted.want(length)
            return None
        kind, self._type = self._type, None
        self._wanted.want(HEADER_BYTES)
        if kind == CAPS:
            self._format = _format(data.tobytes().decode("ascii", "replace"))
        return self._picture(data) if kind == BUFFER else None

    def _picture(self, data: NDArray[np.uint8]) -> Packet:
        if self._format is None:
            raise SourceError("the pipeline sent a picture without its size: end it with raw video")
        if self._flags & CORRUPTED:
            return Packet(None, "a picture that its decoder calls damaged")
        name, width, height = self._format
        if name == JPEG:
            try:
                return Packet(decode_jpeg(data.tobytes()))
            except DataError as error:
                return Packet(None, str(error))
        channels = CHANNELS[name]
        stride = -(-channels * width // 4) * 4
        if data.size != stride * height:
            return Packet(None, f"{data.size} bytes instead of the {stride * height} of a {width}x{height} picture")
        rows = data.reshape(height, stride)[:, : channels * width].reshape(height, width, channels)
        return Packet(np.ascontiguousarray(np.broadcast_to(rows, (height, width, 3))))


def _format(caps: str) -> tuple[str, int, int]:
    found = dict(_CAPS.findall(caps))
    width, height = (int(found.get(name, "0")) for name in ("width", "height"))
    name = JPEG if caps.startswith(JPEG) else found.get("format", "")
    if name.startswith("GRAY16"):
        raise SourceError(
            "the pipeline sends 16-bit grey, csflow takes 8 bits: let the camera send GRAY8 (Mono8) or, where its "
            "values use all 16 bits, end the pipeline with '! videoconvert ! video/x-raw,format=GRAY8'"
        )
    sized = all(1 <= side <= MAX_SIDE_PX for side in (width, height))
    if name not in (JPEG, *CHANNELS) or not (sized or name == JPEG):
        raise SourceError(f"the pipeline sends {caps[:80]!r} instead of RGB pictures: end it with raw video")
    return name, width, height
