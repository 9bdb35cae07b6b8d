"""Reading pictures from disk: one list of suffixes, one decoder, one set of refusals."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from csflow.runtime.errors import ConfigError, CSFlowError, DataError, SourceError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.decoding.depth import as_stored, highest_level, is_deep
from csflow.runtime.picture.decoding.png import PngRows
from csflow.runtime.picture.decoding.tiff import tiff_words
from csflow.runtime.picture.orientation import TURNED, orientation_of, upright

__all__ = [
    "IMAGE_SUFFIXES",
    "LIMIT_VARIABLE",
    "MAX_PIXELS",
    "UNREAD_SUFFIXES",
    "image_size",
    "list_images",
    "pixel_limit",
    "pixels_of",
    "read_image",
    "read_picture",
    "unread",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
UNREAD_SUFFIXES = frozenset(
    {*(".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".tga"), *(".dng", ".cr2", ".cr3", ".nef", ".arw")}
)
"""Pictures of formats that csflow does not read: passed over, but not without a word."""
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may decode, whatever the suffix says: others of its formats start programs (EPS: Ghostscript)."""
TIFF_PHOTOMETRIC = 262
"""Tag PhotometricInterpretation (TIFF 6.0)."""
SUBFILE_TYPE = 254
MAX_PAGES = 100
MAX_PIXELS = 16384 * 16384
LARGE_PIXELS, BAND_PIXELS = 1 << 24, 1 << 20
"""From where on pictures are decoded in bands, and what a band has."""
LIMIT_VARIABLE = "CSFLOW_MAX_MEGAPIXELS"
_PILLOW = threading.Lock()
"""Pillow's limit is the process's, not a thread's."""


def list_images(folder: Path) -> list[Path]:
    """The pictures directly inside `folder`, by name; hidden files and what is no file are passed over.

    A link that leads nowhere is listed: `read_image` tells what is wrong with it.

    Raises DataError when `folder` is no directory that can be listed and entered.
    """
    try:
        return [p for p in sorted(folder.iterdir()) if _is_picture(p)]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; expected a folder of pictures") from None


def unread(files: Iterable[Path]) -> str | None:
    """What to say of those files that are pictures by their names, but of formats that csflow does not read."""
    found = [path for path in files if path.suffix.lower() in UNREAD_SUFFIXES and not path.name.startswith(".")]
    if not found:
        return None
    what, them = ("1 picture is", "it") if len(found) == 1 else (f"{len(found)} pictures are", "them")
    return (
        f"{what} of a format that csflow does not read and passed over, for example {shown(str(found[0]))}: "
        f"save {them} as PNG or JPEG"
    )


def _is_picture(path: Path) -> bool:
    named = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return named and (path.is_file() or not path.exists())


def pixel_limit() -> int:
    """Most pixels a picture may have: CSFLOW_MAX_MEGAPIXELS million, by default 268 (16384 x 16384).

    Raises ConfigError where the variable is no number from 1 to 4000.
    """
    stated = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not stated:
        return MAX_PIXELS
    if not stated.isascii() or not stated.isdecimal() or not 1 <= int(stated[:5]) <= 4000:
        raise ConfigError(f"{LIMIT_VARIABLE} is {stated[:40]!r}: expected a whole number of megapixels from 1 to 4000")
    return int(stated) * 1_000_000


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a picture as (H, W, 3) uint8 RGB, upright as its EXIF orientation says.

    Grey pictures get three equal channels, alpha is dropped.

    Raises DataError for a file that is missing, no regular file, no picture, truncated, of more pixels than
    `pixel_limit`, deeper than 8 bits a channel, or of several pages or frames: nobody would see the others.
    """
    image = read_picture(path)
    if image.dtype != np.uint8:
        raise DataError(f"{path} has more than 8 bits a channel: convert it to 8-bit grey or RGB")
    return image


def read_picture(path: Path) -> NDArray[Any]:
    """Decode a picture as `read_image` does, or, where it is grey of more than 8 bits, as (H, W) uint16.

    Raises DataError as `read_image`, for colours of more than 8 bits, which Pillow cuts to 8, and for what is no
    grey of 0 to 65535 with black at 0.
    """
    with _opened(path) as picture:
        image = _in_bands(picture)
        if image is None:
            image = _deep_grey(picture, path) if is_deep(picture) else pixels_of(picture)
        # Pillow itself turns a TIFF while it loads it, and forgets the tag.
        return upright(image, orientation_of(picture))


def _in_bands(picture: Image.Image) -> NDArray[Any] | None:
    """A large PNG, of which Pillow holds a few rows at a time; None for any other picture."""
    if not isinstance(picture, PngImageFile) or picture.width * picture.height <= LARGE_PIXELS or picture.fp is None:
        return None
    rows = PngRows.of(picture.fp)
    if rows is None:
        return None
    shape = (rows.height, rows.width)
    image: NDArray[Any] = np.empty(shape, np.uint16) if rows.depth > 8 else np.empty((*shape, 3), np.uint8)
    top = 0
    for band in rows.bands(picture.fp, max(1, BAND_PIXELS // rows.width)):
        image[top : top + band.height] = pixels_of(band)
        top += band.height
    return image


def pixels_of(picture: Image.Image) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB of a Pillow image, or (H, W) uint16 where it has more than 8 bits.

    Raises SourceError where its levels are not whole numbers from 0 to 65535.
    """
    if not picture.mode.startswith(("I", "F")):
        return _eight_bits(picture)
    levels = np.asarray(picture)
    if picture.mode == "F" or levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise SourceError("a picture of more than 8 bits has whole levels from 0 to 65535: convert it to 16-bit grey")
    return levels.astype(np.uint16)


def _eight_bits(picture: Image.Image) -> NDArray[np.uint8]:
    """In bands, where it is large: Pillow copies what it converts, at four bytes a pixel."""
    width, height = picture.size
    if picture.mode == "La":  # grey that was multiplied by its alpha, of which Pillow makes no RGB in one step
        picture = picture.convert("LA")
    if width * height <= LARGE_PIXELS:
        return np.array(picture.convert("RGB"), dtype=np.uint8)
    rows = max(1, BAND_PIXELS // width)
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        band = picture.crop((0, top, width, min(top + rows, height)))
        image[top : top + rows] = np.asarray(band.convert("RGB"))
    return image


def _deep_grey(picture: Image.Image, path: Path) -> NDArray[np.uint16]:
    if not picture.mode.startswith(("I", "F")):
        raise DataError(f"{path} has more than 8 bits a channel, in colour: convert it to 16-bit grey or 8-bit RGB")
    if isinstance(picture, TiffImageFile) and picture.tag_v2.get(TIFF_PHOTOMETRIC) == 0:
        raise DataError(f"{path} stores white as 0: save it with black as 0")
    # The decoder is forgotten as soon as the picture is loaded.
    highest = highest_level(picture)
    try:
        levels = pixels_of(picture)
    except SourceError:
        raise DataError(
            f"{path} has more than 8 bits a channel, and not whole levels from 0 to 65535: convert it to 16-bit grey"
        ) from None
    # Pillow spreads a PGM to 65535; a window is in levels of the camera, as stored.
    return levels if highest is None else as_stored(levels, highest)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture in pixels, by the header alone. Raises DataError as `read_image`."""
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.format != "TIFF" and orientation_of(picture) in TURNED
        return (height, width) if turned else (width, height)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture, its header read and its size compared with the limit; whatever goes wrong is a DataError."""
    limit = pixel_limit()
    try:
        _require_file(path)
        with _no_warnings(), path.open("rb") as file, _header(file) as picture:
            width, height = picture.size
            if width * height > limit:
                raise DataError(
                    f"{path} claims {width}x{height} pixels, {limit / 1e6:g} million are taken: shrink or cut it, or "
                    f"raise the limit with --max-megapixels or {LIMIT_VARIABLE}"
                )
            if _holds_several(picture):
                raise DataError(
                    f"{path} has several pages or frames: save each as a picture of its own, for one is judged a file"
                )
            yield picture
    except UnidentifiedImageError:
        raise DataError(f"{path} is {_unidentified(path)}") from None
    except FileNotFoundError:
        what = "is a link to nothing: restore the file it leads to" if path.is_symlink() else "does not exist"
        raise DataError(f"{path} {what}") from None
    except MemoryError:
        raise DataError(f"{path} is too large for the memory of this machine: shrink or cut it") from None
    except CSFlowError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged files
        raise DataError(f"{path} cannot be decoded ({error}): remove or replace it") from None


def _unidentified(path: Path) -> str:
    with path.open("rb") as file:
        found = tiff_words(file)
    if found is None:
        return "not a picture that can be read: remove or replace it"
    return f"{found}, which is not read: save it as PNG or TIFF of 8-bit RGB, or of 8 or 16-bit grey without alpha"


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns about odd metadata; pixels that are missing raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _header(file: BinaryIO) -> Image.Image:
    """Opened without Pillow's limit, which warns at 89 megapixels and refuses twice that.

    By a file and not by its name: what Pillow maps into memory it reads in rows of the turned picture's width where a
    grey TIFF says that it is stored turned.
    """
    with _PILLOW:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _holds_several(picture: Image.Image) -> bool:
    """Whether a file shows more than one picture: a page of a TIFF, a frame of an animation, a view of several cameras.

    Thumbnails and gain maps, which telephones put behind a JPEG, are no pictures of their own (CIPA DC-007, 5.2.3.3).
    """
    if isinstance(picture, TiffImageFile):
        return _has_pages(picture)
    if picture.format == "MPO":
        listed = getattr(picture, "mpinfo", {}).get(0xB002, ())[1:]
        return any(entry["Attribute"]["MPType"].startswith("Multi-Frame") for entry in listed)
    return int(getattr(picture, "n_frames", 1)) > 1


def _has_pages(picture: TiffImageFile) -> bool:
    """Whether a second page follows that is no reduced copy of the first (TIFF 6.0, NewSubfileType, bit 0)."""
    try:
        for page in range(1, MAX_PAGES):
            picture.seek(page)
            if not picture.tag_v2.get(SUBFILE_TYPE, 0) & 1:
                return True
    except EOFError:
        return False
    finally:
        picture.seek(0)
    return True


def _require_file(path: Path) -> None:
    # Opening a pipe would wait for a writer, perhaps for ever.
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} cannot be decoded: it is a folder, pipe or device, expected a file with a picture")
    if not found.st_size:
        raise DataError(f"{path} is empty: a copy went wrong, remove or replace it")
