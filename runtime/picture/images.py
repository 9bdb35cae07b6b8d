"""Reading pictures from disk: one list of suffixes, one decoder, one set of refusals."""

from __future__ import annotations

import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from csflow.runtime.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "list_images", "read_image"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may decode, whatever the suffix says: others of its formats start programs (EPS: Ghostscript)."""
TIFF_BITS = 258
"""Tag BitsPerSample."""


def list_images(folder: Path) -> list[Path]:
    """The pictures directly inside `folder`, by name; hidden files and what is no file are passed over.

    A link that leads nowhere is listed: `read_image` tells what is wrong with it.

    Raises DataError when `folder` is no directory that can be listed and entered.
    """
    try:
        return [p for p in sorted(folder.iterdir()) if _is_picture(p)]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; expected a folder of pictures") from None


def _is_picture(path: Path) -> bool:
    named = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return named and (path.is_file() or not path.exists())


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a picture as (H, W, 3) uint8 RGB; grey pictures get three equal channels, alpha is dropped.

    Raises DataError for a file that is missing, no regular file, no picture, truncated, too large, or deeper
    than 8 bits a channel.
    """
    try:
        _require_file(path)
        with warnings.catch_warnings():
            # Pillow warns about odd metadata; pixels that are missing raise.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                if _is_deep(picture):
                    raise DataError(f"{path} has more than 8 bits a channel: convert it to 8-bit grey or RGB")
                return np.array(picture.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a picture that can be read: remove or replace it") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"{path} has too many pixels to be a camera picture: remove or shrink it") from None
    except FileNotFoundError:
        what = "is a link to nothing: restore the file it leads to" if path.is_symlink() else "does not exist"
        raise DataError(f"{path} {what}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}): remove or replace it") from None


def _require_file(path: Path) -> None:
    # Opening a pipe would wait for a writer, perhaps for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path} cannot be decoded: it is a folder, pipe or device, expected a file with a picture")


def _is_deep(picture: Image.Image) -> bool:
    """Whether the header states more than 8 bits a channel: Pillow cuts 16-bit colour to 8 without a word."""
    if picture.mode.startswith(("I", "F")):
        return True
    if isinstance(picture, TiffImageFile):
        return any(bits > 8 for bits in picture.tag_v2.get(TIFF_BITS, ()))
    # What the decoder is told: a PNG's channels and depth as in 'RGB;16B', a PPM's highest value.
    told = [tile[3] for tile in getattr(picture, "tile", [])]
    return any(";16" in t if isinstance(t, str) else picture.format == "PPM" and t[1] > 255 for t in told)
