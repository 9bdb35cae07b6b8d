"""Whether a video file is as long as its container says; which is another question than how many frames it announces.

Frame counts in containers are estimates: Matroska has none, AVI counts fields. Lengths in bytes are exact, and a copy
that broke off is shorter. Containers: RIFF AVI (Microsoft, AVI RIFF File Reference), ISO/IEC 14496-12 (MP4, MOV),
EBML (RFC 8794) with Matroska and WebM (RFC 9559), MPEG transport streams (ISO/IEC 13818-1).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

__all__ = ["shortfall"]

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = b"\x18\x53\x80\x67"
UNFINISHED = (0, 0xFFFFFFFF)
"""What a RIFF writer that streams, or died, leaves as its length: no statement."""
TS_PACKET = 188


def shortfall(path: Path) -> str:
    """What is missing at the end of a video file, in words; empty where nothing is, or where nothing can be known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(TS_PACKET + 1)
        if head[:4] == b"RIFF":
            end = _riff_end(file, size)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _boxes_end(file, size)
        elif head[:4] == EBML:
            end = _ebml_end(file)
        elif len(head) > TS_PACKET and head[0] == head[TS_PACKET] == 0x47:
            end = -(-size // TS_PACKET) * TS_PACKET
        else:
            return ""
    return f"it has {size} bytes, its container {end}" if end > size else ""


def _riff_end(file: BinaryIO, size: int) -> int:
    """End of the last RIFF chunk; there are several beyond 1 GB (OpenDML AVI 1.02)."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name != b"RIFF" or length in UNFINISHED:
            return end
        end += 8 + length
    return end


def _boxes_end(file: BinaryIO, size: int) -> int:
    """End of the last box (clause 4.2)."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length, header = int.from_bytes(file.read(4), "big"), 8
        file.seek(4, os.SEEK_CUR)
        if length == 1:
            length, header = int.from_bytes(file.read(8), "big"), 16
        if length < header:  # 0: up to the end of the file
            return size
        end += length
    return end


def _ebml_end(file: BinaryIO) -> int:
    """End of the segment; 0 where its length is not stated, as in a live recording."""
    position = len(EBML)
    for name in (EBML, SEGMENT):
        file.seek(position - len(name))
        if file.read(len(name)) != name:
            return 0
        first = file.read(1)
        width = 9 - first[0].bit_length() if first and first[0] else 9
        if width > 8:
            return 0
        length = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + file.read(width - 1), "big")
        position += width + length + len(SEGMENT)
        if name == SEGMENT and length == (1 << 7 * width) - 1:
            return 0
    return position - len(SEGMENT)
