"""Pixels as machine-vision cameras send them, by the names of GenICam's Pixel Format Naming Convention (PFNC 2.4).

`Mono12p` is a stream of bits, the lowest bit of the first pixel first (PFNC 6.1). `Mono12Packed` and `Mono10Packed` are
GigE Vision's own: two pixels in three bytes, the high bits of each in a byte, the low bits of both in the one between
(GigE Vision 2.0, 27.2). Without an ending, more than 8 bits take two bytes, the value in the low bits.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError

__all__ = ["PixelFormat", "unpack"]

_NAME = re.compile(r"(Mono|Bayer(?:GR|RG|GB|BG)|RGBa|BGRa|RGB|BGR)(8|10|12|14|16)(p|Packed)?")
_YUV = re.compile(r"(YUV|YCbCr|YCbCr601_|YCbCr709_)422_8(_UYVY|_CbYCrY)?")
SAMPLES = {"RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4}


@dataclass(frozen=True)
class PixelFormat:
    """What a name of PFNC says."""

    kind: str
    """Mono, BayerGR, BayerRG, BayerGB, BayerBG, RGB, BGR, RGBa, BGRa, or YUV, YCbCr, YCbCr601, YCbCr709 (all 4:2:2)."""
    bits: int
    """Of a sample: 8, 10, 12, 14 or 16."""
    packing: str = ""
    """p (a stream of bits), Packed (GigE Vision), or UYVY where chroma comes before luma; else empty."""

    @classmethod
    def parse(cls, name: str) -> PixelFormat:
        """Raises SourceError for a name that is none of these."""
        if found := _NAME.fullmatch(name):
            kind, bits, packing = found[1], int(found[2]), found[3] or ""
            if packing != "Packed" or (bits in (10, 12) and kind not in SAMPLES):
                return cls(kind, bits, packing if bits not in (8, 16) else "")
            if bits == 8:  # what GigE Vision 1 called RGB8
                return cls(kind, bits)
        if found := _YUV.fullmatch(name):
            return cls(found[1].rstrip("_"), 8, "UYVY" if found[2] else "")
        raise SourceError(
            f"the camera sends pixels as {name!r}, which csflow does not read: set its PixelFormat to Mono, Bayer, RGB "
            "or BGR of 8 to 16 bits, or to YUV422_8"
        )

    @property
    def samples(self) -> int:
        """Numbers that a pixel has in memory."""
        return SAMPLES.get(self.kind, 2 if self.kind.startswith("Y") else 1)

    def row_bits(self, width: int) -> int:
        """Bits of a row of so many pixels, without padding."""
        if self.packing == "Packed":
            return 8 * math.ceil(width * 1.5)
        bits = self.bits if self.packing == "p" or self.bits == 8 else 16
        return width * self.samples * bits


def unpack(
    data: NDArray[np.uint8], name: PixelFormat, size: tuple[int, int], padding: int = 0, big_endian: bool = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The samples of a picture.

    Args:
        data: its bytes, at least as many as it takes.
        name: how they are laid out.
        size: (width, height) in pixels.
        padding: bytes after each row.
        big_endian: whether the higher of two bytes comes first; of unpacked formats only.

    Returns:
        (H, W * samples) uint8 for 8 bits, else uint16 with values below 2 ** bits.

    Raises:
        SourceError: too few bytes, or rows that end inside a byte and are padded.
    """
    width, height = size
    row_bits, rows = name.row_bits(width), height
    if row_bits % 8:
        if padding:
            raise SourceError(f"rows of {width} pixels end inside a byte and are padded: set another width")
        row_bits, rows = row_bits * height, 1
    row_bytes = -(-row_bits // 8)
    stride = row_bytes + padding
    if data.size < stride * rows - padding:
        raise SourceError(f"a picture of {width}x{height} pixels came with {data.size} bytes of {stride * rows}")
    if padding and data.size < stride * rows:
        data = np.concatenate([data, np.zeros(padding, np.uint8)])
    lines = data[: stride * rows].reshape(rows, stride)[:, :row_bytes]
    count = width * name.samples * (height // rows)
    return _samples(lines, name, count, big_endian).reshape(height, width * name.samples)


def _samples(
    lines: NDArray[np.uint8], name: PixelFormat, count: int, big_endian: bool
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if name.bits == 8:
        return lines
    if name.packing == "Packed":
        return _pairs(lines, name.bits, count)
    if name.packing == "p":
        return _stream(lines, name.bits, count)
    return np.ascontiguousarray(lines).view(">u2" if big_endian else "<u2").astype(np.uint16)


def _pairs(lines: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """GigE Vision's packing of 10 and 12 bits: high bits, both low bits, high bits."""
    wide = np.zeros((len(lines), -(-lines.shape[1] // 3) * 3), np.uint16)
    wide[:, : lines.shape[1]] = lines
    first, between, second = wide[:, 0::3], wide[:, 1::3], wide[:, 2::3]
    low = bits - 8
    mask = np.uint16((1 << low) - 1)
    out = np.empty((len(lines), 2 * first.shape[1]), np.uint16)
    out[:, 0::2] = first << low | between & mask
    out[:, 1::2] = second << low | between >> 4 & mask
    return out[:, :count]


def _stream(lines: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """A stream of bits, lowest first: a group of pixels that fills whole bytes after the other."""
    pixels = 8 // math.gcd(bits, 8)
    group = pixels * bits // 8
    groups = -(-lines.shape[1] // group)
    padded = np.zeros((len(lines), groups * group), np.uint8)
    padded[:, : lines.shape[1]] = lines
    columns = padded.reshape(len(lines), groups, group)
    # Narrow numbers are twice as fast; pixels of 14 bits reach over three bytes.
    kind = np.uint16 if bits <= 12 else np.uint32
    out = np.empty((len(lines), groups, pixels), np.uint16)
    for number in range(pixels):
        first, shift = divmod(number * bits, 8)
        value = columns[:, :, first].astype(kind)
        for place in range(1, -(-(shift + bits) // 8)):
            value |= columns[:, :, first + place].astype(kind) << kind(8 * place)
        out[:, :, number] = value >> kind(shift) & kind((1 << bits) - 1)
    return out.reshape(len(lines), -1)[:, :count]
