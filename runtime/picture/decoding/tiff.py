"""What a TIFF holds that Pillow does not read, in words, so that whoever saved it knows what to change."""

from __future__ import annotations

import warnings
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

__all__ = ["tiff_words"]

BITS, COMPRESSION, SAMPLES, FORMAT = 258, 259, 277, 339
"""BitsPerSample, Compression, SamplesPerPixel and SampleFormat (TIFF 6.0, section 8 and 19)."""
KINDS = {2: "signed ", 3: "floating-point "}


def tiff_words(file: BinaryIO) -> str | None:
    """Such as "a TIFF of 2 samples of 16 bits"; None for what is no TIFF, or damaged.

    Args:
        file: at any place; left at any.
    """
    file.seek(0)
    head = file.read(8)
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        directory = ImageFileDirectory_v2(head)
        file.seek(directory.next)
        with warnings.catch_warnings():
            # Pillow only warns of a directory that ends too early, and takes what is missing for its defaults.
            warnings.simplefilter("error")
            directory.load(file)
        bits = max(directory.get(BITS, (1,)))
        samples, kind = int(directory.get(SAMPLES, 1)), KINDS.get(max(directory.get(FORMAT, (1,))), "")
        packing = int(directory.get(COMPRESSION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises anything on damaged files
        return None
    of = "1 sample" if samples == 1 else f"{samples} samples"
    return f"a TIFF of {of} of {bits} {kind}bits a pixel, compression {packing}"
