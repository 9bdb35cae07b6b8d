"""What the driver's process tells: JSON with the pixels of a picture behind it, over a pipe."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError
from csflow.runtime.machine.wanted import WantedBytes
from csflow.runtime.picture.images import pixel_limit
from csflow.runtime.schema import SchemaError, dump_json, parse_json

__all__ = ["FIRE", "Packet", "PacketReader", "write_packet"]

HEADER = struct.Struct("<4sIQ")
MAGIC = b"CSFG"
FIRE = b"f"
"""What the driver reads from its standard input, once for each picture that is asked for."""
MAX_WORDS = 1 << 20
MAX_SAMPLE_BYTES = 6
"""Of a pixel: three channels of 16 bits."""


@dataclass(frozen=True)
class Packet:
    """One message."""

    told: Mapping[str, Any]
    data: NDArray[np.uint8]
    """Bytes of a picture; empty for any other message."""


def write_packet(handle: int, told: Mapping[str, Any], data: NDArray[Any] | None = None) -> None:
    """Write a message whole. Raises OSError where nobody reads any more."""
    words = dump_json(dict(told))
    payload = memoryview(b"" if data is None else np.ascontiguousarray(data).reshape(-1).view(np.uint8).data)
    for part in (memoryview(HEADER.pack(MAGIC, len(words), len(payload)) + words), payload):
        while part:
            part = part[os.write(handle, part) :]


class PacketReader:
    """Reads packets from a descriptor that does not block, as far as there are bytes."""

    def __init__(self, handle: int) -> None:
        self._wanted = WantedBytes(handle, HEADER.size)
        self._sizes: tuple[int, int] | None = None
        self._told: Mapping[str, Any] | None = None

    def read(self) -> Packet | None:
        """The next message, or None when the bytes of a whole one are not there yet.

        Raises:
            EOFError: the writer closed the pipe.
            SourceError: what comes is no such message.
        """
        while self._wanted.fill():
            if (packet := self._complete()) is not None:
                return packet
        return None

    def _complete(self) -> Packet | None:
        data = self._wanted.data
        if self._sizes is None:
            magic, words, payload = HEADER.unpack(data.tobytes())
            if magic != MAGIC or words > MAX_WORDS or payload > MAX_SAMPLE_BYTES * pixel_limit():
                raise SourceError("the driver's process wrote something else than messages: report it")
            self._sizes = words, payload
            self._wanted.want(words)
            return None
        if self._told is None:
            self._told = _words(data.tobytes())
            self._wanted.want(self._sizes[1])
            return None
        told, self._told, self._sizes = self._told, None, None
        self._wanted.want(HEADER.size)
        return Packet(told, data)


def _words(text: bytes) -> Mapping[str, Any]:
    try:
        told = parse_json(text)
    except SchemaError as error:
        raise SourceError(f"the driver's process wrote no JSON ({error}): report it") from None
    if not isinstance(told, dict):
        raise SourceError("the driver's process wrote no JSON object: report it")
    return told
