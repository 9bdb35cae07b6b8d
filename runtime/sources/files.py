"""Pictures on disk as a source: a folder, a glob, or one file."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from csflow.runtime.errors import DataError, EndOfStream, FrameError, SourceError
from csflow.runtime.picture.images import IMAGE_SUFFIXES, image_size, list_images, read_picture, unread
from csflow.runtime.picture.jpeg import decode_jpeg, is_rgb_or_grey
from csflow.runtime.types import Frame

__all__ = ["FileSource", "natural_key", "open_files", "read_part"]

log = logging.getLogger("csflow.camera")


class FileSource:
    """Delivers every picture once, in the order given; in place of an unreadable file comes a FrameError."""

    live = False

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self._paths = tuple(paths)
        self._next = 0

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - a file is there at once
        """The next picture; captured_ns is the moment when it was decoded."""
        if self._next >= len(self._paths):
            raise EndOfStream
        index, path = self._next, self._paths[self._next]
        self._next += 1
        try:
            return Frame(read_part(path), index, source=str(path))
        except DataError as error:
            raise FrameError(str(error), index, str(path)) from None

    def close(self) -> None:
        """Deliver no more pictures."""
        self._next = len(self._paths)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_files(uri: str, timeout_s: float) -> FileSource:  # noqa: ARG001 - every opener has the same signature
    """The pictures of a folder (not of its subfolders), of a glob ('**' descends), or one picture.

    Raises SourceError where there are none.
    """
    path = Path(uri)
    try:
        paths = list_images(path) if path.is_dir() else _matches(uri)
    except DataError as error:
        raise SourceError(str(error)) from None
    if not paths:
        raise SourceError(_nothing(path, uri))
    if path.is_dir() and (line := unread(sorted(path.iterdir()))):
        log.warning("%s", line)
    return FileSource(uri, sorted(paths, key=natural_key))


def read_part(path: Path) -> NDArray[Any]:
    """As `read_picture`; where simplejpeg is installed, as with every engine, a JPEG with a gap is refused as well.

    Pillow refuses one that was cut off. What is missing in its middle it fills with grey, and calls it a picture.

    Raises DataError.
    """
    image_size(path)  # refuses what is no file, no picture, or too large
    try:
        data = path.read_bytes() if find_spec("simplejpeg") is not None and _is_jpeg(path) else b""
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if not is_rgb_or_grey(data):
        return read_picture(path)
    try:
        return decode_jpeg(data)
    except DataError as error:
        raise DataError(f"{path} holds {error}: remove or replace it") from None


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"


def natural_key(path: Path) -> tuple[tuple[str | int, ...], ...]:
    """Sorting key that puts part2 before part10; folders are compared before the names in them."""
    return tuple(_natural(part) for part in path.parts)


def _natural(text: str) -> tuple[str | int, ...]:
    # Splitting at digits alternates text and number, so that like is compared with like.
    return tuple(int(t) if t.isdecimal() and t.isascii() else t for t in re.split(r"([0-9]+)", text))


def _matches(uri: str) -> list[Path]:
    path = Path(uri)
    if path.exists():
        return [path]
    found = (Path(name) for name in glob.glob(uri, recursive=True))
    # '**' follows links to folders, and a link to a folder above gives each picture some forty names.
    once: dict[tuple[Path, str], Path] = {}
    for picture in sorted(found, key=lambda p: (len(p.parts), p)):
        if picture.suffix.lower() in IMAGE_SUFFIXES and not os.path.isdir(picture):
            once.setdefault((picture.parent.resolve(), picture.name), picture)
    return list(once.values())


def _nothing(path: Path, uri: str) -> str:
    kinds = ", ".join(sorted(IMAGE_SUFFIXES))
    if path.is_dir():
        return f"{uri} holds no pictures ({kinds}): name the folder that does, or a glob such as '{uri}/*/*.png'"
    if glob.has_magic(uri):
        return f"no picture ({kinds}) matches {uri!r}: put the glob in quotes and check it with ls"
    return f"there is no picture {uri!r}"
