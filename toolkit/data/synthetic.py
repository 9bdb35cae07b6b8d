"""The synthetic product line as a data set on disk, in the MVTec layout."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from csflow.runtime.atomic import is_vacant, whole_folder, write_atomic
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.synthetic.product import DEFECTS, render_part

__all__ = ["write_dataset"]


def write_dataset(
    directory: Path, *, train: int, calibration: int, test_good: int, test_defects_each: int, size: int, seed: int
) -> None:
    """Write train/good, calibration/good, test/good, test/<defect> and ground_truth/<defect> below `directory`.

    Every picture shows another part; the same arguments write the same bytes. Pictures are size x size pixels.

    Raises:
        ConfigError: a count below 1 or a size below 64.
        DataError: `directory` exists and is not empty.
        OSError: as the file system does; like Ctrl-C, or the end of the process, it leaves no pictures behind.
    """
    if min(train, calibration, test_good, test_defects_each) < 1 or not 64 <= size <= 4096:
        raise ConfigError("every count must be at least 1 and the size 64 to 4096 pixels")
    if not is_vacant(directory):
        raise DataError(f"{directory} exists and is not empty: name a new folder")
    # Part of a data set would train and calibrate like a whole one.
    with whole_folder(directory) as folder:
        _write_pictures(folder, (train, calibration, test_good), test_defects_each, size, seed)


def _write_pictures(directory: Path, good: tuple[int, int, int], defects_each: int, size: int, seed: int) -> None:
    parts = itertools.count()
    for folder, count in zip(("train/good", "calibration/good", "test/good"), good, strict=True):
        for i in range(count):
            part = render_part(seed, next(parts), (size, size))
            _write(directory / folder / f"{i:04d}.png", part.image)
    for defect in DEFECTS:
        for i in range(defects_each):
            part = render_part(seed, next(parts), (size, size), defect)
            _write(directory / "test" / defect / f"{i:04d}.png", part.image)
            mask = part.mask.astype(np.uint8) * 255
            _write(directory / "ground_truth" / defect / f"{i:04d}_mask.png", mask)


def _write(path: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
