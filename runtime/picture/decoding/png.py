"""PNG in bands of rows, so that a large picture is never held twice: Pillow decodes the whole of it, at four bytes a
pixel.

Rows of a PNG (ISO/IEC 15948) refer to the row above alone. A band is given to Pillow as a PNG of its own, whose first
row is the last one of the band before; what Pillow makes of the bytes is not this module's business.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image

__all__ = ["PngRows", "says_more_behind_its_pixels"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK = struct.Struct(">I4s")
HEADER = struct.Struct(">IIBBBBB")
CRC = struct.Struct(">I")
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples of a pixel by colour type; a palette's pictures have one byte a pixel anyhow."""
PIECE = 1 << 16


@dataclass(frozen=True)
class PngRows:
    """What the header of a PNG says about its rows."""

    width: int
    height: int
    depth: int
    colour: int

    @classmethod
    def of(cls, file: IO[bytes]) -> PngRows | None:
        """From a file, at any position; None where its rows cannot be taken one after the other (interlaced ones), or
        are of other than 8 bits a sample, or 16 of grey.
        """
        file.seek(0)
        begin = file.read(len(SIGNATURE) + CHUNK.size + HEADER.size)
        if len(begin) < len(SIGNATURE) + CHUNK.size + HEADER.size or not begin.startswith(SIGNATURE):
            return None
        width, height, depth, colour, _, _, interlaced = HEADER.unpack(begin[-HEADER.size :])
        taken = (depth == 8 and colour in SAMPLES) or (depth, colour) == (16, 0)
        return cls(width, height, depth, colour) if taken and not interlaced else None

    def bands(self, file: IO[bytes], rows: int) -> Iterator[Image.Image]:
        """The picture from top to bottom, `rows` rows at a time, as Pillow decodes them.

        Raises OSError and zlib.error where the file is damaged or cut off.
        """
        length = 1 + self.width * SAMPLES[self.colour] * self.depth // 8
        above, waiting = b"", _Inflated(file)
        for top in range(0, self.height, rows):
            count = min(rows, self.height - top)
            data = waiting.take(count * length)
            before = 1 if above else 0
            with Image.open(io.BytesIO(self._small(above + data, count + before)), formats=("PNG",)) as picture:
                band = picture.crop((0, before, self.width, before + count))
            above = b"\0" + self._raw(band.crop((0, count - 1, self.width, count)))
            yield band

    def _small(self, rows: bytes, count: int) -> bytes:
        """A PNG of rows that are filtered already."""
        header = HEADER.pack(self.width, count, self.depth, self.colour, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
        return SIGNATURE + b"".join(
            CHUNK.pack(len(data), name) + data + CRC.pack(zlib.crc32(data, zlib.crc32(name))) for name, data in parts
        )

    def _raw(self, row: Image.Image) -> bytes:
        """A row as PNG stores it where no filter is used: the larger byte of 16 bits comes first."""
        return row.tobytes() if self.depth == 8 else np.asarray(row).astype(">u2").tobytes()


class _Inflated:
    """The filtered rows of a PNG, as they are asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._stream = zlib.decompressobj()
        self._pieces = _pixels(file)

    def take(self, size: int) -> bytes:
        """So many bytes. Raises OSError where they end before."""
        parts, missing = list[bytes](), size
        while missing:
            data = self._stream.unconsumed_tail or next(self._pieces, b"")
            if not data:
                raise OSError("image file is truncated")
            parts.append(self._stream.decompress(data, missing))
            missing -= len(parts[-1])
        return b"".join(parts)


def _pixels(file: IO[bytes]) -> Iterator[bytes]:
    """What the IDAT chunks hold, one after the other, each checked."""
    for name, size in _chunks(file):
        if name != b"IDAT":
            continue
        crc, left = zlib.crc32(name), size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                return
            crc, left = zlib.crc32(piece, crc), left - len(piece)
            yield piece
        if file.read(CRC.size) != CRC.pack(crc):
            raise OSError("broken PNG file: an IDAT chunk does not fit its check sum")


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk, the file at its data; up to the last, or where the file ends."""
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(CHUNK.size)
        if len(head) < CHUNK.size:
            return
        size, name = CHUNK.unpack(head)
        yield name, size
        at += CHUNK.size + size + CRC.size


def says_more_behind_its_pixels(file: IO[bytes]) -> bool:
    """Whether EXIF data or text follow the pixels, for which Pillow decodes all of them. Keeps the position."""
    before = file.tell()
    try:
        pixels = False
        for name, _ in _chunks(file):
            if pixels and name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            pixels = pixels or name == b"IDAT"
        return False
    finally:
        file.seek(before)
