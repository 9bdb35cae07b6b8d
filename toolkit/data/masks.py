"""Masks: which pixels a data set calls defective, whatever numbers it writes for that."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.metrics import GOOD
from csflow.runtime.errors import DataError
from csflow.runtime.picture.images import image_size, list_images, read_image
from csflow.toolkit.data.sample import Sample

__all__ = ["beside", "check_mask", "check_masks", "load_mask", "marked"]

LABELS = 16
"""Masks of at most so many different values number their defects (VisA 1, 2, ...; MVTec LOCO and AutoVI up to 255);
those of more are drawings or JPEG, whose edges are grey."""
HALF = 127
GREY = (64, 191)
MOST_GREY = 0.25
"""A mask with a larger share of medium values is a photograph, not a mask."""
ENDINGS = ("_mask", "_gt", "_label")
"""What masks that lie beside their pictures add to the picture's name, in any case."""


def load_mask(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The defect mask at (width, height) = `size`, (H, W) bool; all False for a good part.

    Resized by nearest neighbour, so that no pixel is half defective. Raises DataError as `check_mask`.
    """
    if sample.mask is None:
        if sample.label != GOOD:
            raise DataError(f"{sample.path} has no mask")
        return np.zeros((size[1], size[0]), dtype=np.bool_)
    mask = Image.fromarray(check_mask(sample, sample.mask)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(mask, dtype=np.bool_)


def check_mask(sample: Sample, mask: Path) -> NDArray[np.bool_]:
    """The mask at its own size, (H, W) bool.

    Raises DataError for one that is missing, damaged, of another shape than its picture, or no mask at all.
    """
    found = marked(mask)
    width, height = image_size(sample.path)
    # A mask of another scale is taken; half a pixel of rounding is the most that the aspect may differ.
    if abs(found.shape[1] * height - found.shape[0] * width) > max(width, height):
        raise DataError(
            f"{mask} has {found.shape[1]}x{found.shape[0]} pixels, its picture {sample.path} {width}x{height}: "
            "it is the mask of another picture; remove or replace it"
        )
    return found


def check_masks(samples: Iterable[Sample]) -> None:
    """Look at every mask before hours of scoring, not after them. Raises DataError as `check_mask`."""
    for sample in samples:
        if sample.mask is not None:
            check_mask(sample, sample.mask)


def marked(mask: Path) -> NDArray[np.bool_]:
    """What the file, or the files of the folder, mark: every value but 0 where there are at most 16 values, else those
    above 127. Raises DataError."""
    if not mask.is_dir():
        return _marked(mask)
    files = list_images(mask)
    if not files:
        raise DataError(f"{mask} holds no masks: remove the folder, or copy the data set again")
    union = _marked(files[0])
    for file in files[1:]:
        if (more := _marked(file)).shape != union.shape:
            raise DataError(f"{file} has another size than {files[0]}: the masks of one picture must be alike")
        union = union | more
    return union


def beside(files: Iterable[Path]) -> tuple[list[Path], dict[Path, Path]]:
    """Tell pictures from masks that lie beside them (name_mask, name_GT, name_label): (pictures, mask of picture)."""
    listed = list(files)
    stems = {file.with_suffix("").as_posix(): file for file in listed}
    pictures, masks = [], {}
    for file in listed:
        stem = file.with_suffix("").as_posix()
        ending = next((e for e in ENDINGS if stem.lower().endswith(e) and stem[: -len(e)] in stems), None)
        if ending is None:
            pictures.append(file)
        else:
            masks[stems[stem[: -len(ending)]]] = file
    return pictures, masks


def _marked(file: Path) -> NDArray[np.bool_]:
    values: NDArray[np.uint8] = read_image(file).max(axis=2)
    counts = np.bincount(values.ravel(), minlength=256)
    if np.count_nonzero(counts) <= LABELS:
        # Without any 0 the lowest value is the background's.
        return np.asarray(values > (0 if counts[0] else HALF), dtype=np.bool_)
    grey = counts[GREY[0] : GREY[1] + 1].sum() / values.size
    if grey > MOST_GREY:
        raise DataError(
            f"{file} is no mask: {grey:.0%} of its pixels are neither dark nor bright; replace it by one that marks "
            "the defect, or remove it"
        )
    return np.asarray(values > HALF, dtype=np.bool_)
