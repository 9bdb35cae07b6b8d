"""The pictures in the folder of `--save`, by time: parts long gone, those of earlier runs too."""

from __future__ import annotations

import heapq
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from csflow.runtime.sinks.overlay import SavedName

__all__ = ["SavedPictures"]

MOST = 60
THUMBNAIL_PX = 320
QUALITY = 75


class SavedPictures:
    """Reads only what `OverlaySink` has named. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def before(self, unix_s: float, most: int = MOST) -> list[dict[str, Any]]:
        """The newest pictures taken before a moment, newest first, as JSON; nothing where the folder cannot be read."""
        try:
            with os.scandir(self._folder) as entries:
                names = (SavedName.parse(entry.name) for entry in entries if entry.name.endswith(".jpg"))
                found = (name for name in names if name is not None and name.unix_ns < unix_s * 1e9)
                newest = heapq.nlargest(min(most, MOST), found, key=lambda name: name.text)
        except OSError:
            return []
        return [_listed(name) for name in newest]

    def picture(self, name: str, small: bool = False) -> bytes:
        """The JPEG of this name, or a small one of it; empty where there is none."""
        if SavedName.parse(name) is None:
            return b""
        try:
            data = (self._folder / name).read_bytes()
            return _thumbnail(data) if small else data
        except (OSError, Image.DecompressionBombError):
            return b""


def _listed(name: SavedName) -> dict[str, Any]:
    return {
        "name": name.text,
        "unix_s": round(name.unix_ns / 1e9, 3),
        "verdict": name.verdict,
        "source": name.source,
    }


def _thumbnail(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        # Decodes an eighth of the pixels where that is enough.
        image.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
