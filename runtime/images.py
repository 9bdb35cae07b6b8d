"""Reading pictures from disk: one list of suffixes, one decoder, one set of refusals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from csflow.runtime.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "list_images", "read_image"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


def list_images(folder: Path) -> list[Path]:
    """The pictures directly inside `folder`, by name; hidden files are passed over.

    Raises DataError when `folder` is no readable directory.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; expected a folder of pictures") from None
    return [p for p in entries if _is_picture(p)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a picture as (H, W, 3) uint8 RGB; grey pictures get three equal channels, alpha is dropped.

    Raises DataError for a file that is missing, no picture, truncated, too large, or deeper than 8 bits a
    channel.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata; pixels that are missing raise.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise DataError(f"{path} has more than 8 bits a channel: convert it to 8-bit grey or RGB")
                return np.array(picture.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a picture that can be read: remove or replace it") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"{path} has too many pixels to be a camera picture: remove or shrink it") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}): remove or replace it") from None
