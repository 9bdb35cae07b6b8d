"""Data sets on disk: their layout is recognised by what lies there, and their pictures are checked before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from csflow.calibration.metrics import GOOD
from csflow.calibration.pictures import GOOD_NAMES, each
from csflow.runtime.bundle.pictures import SQUEEZED
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import image_size as size_of
from csflow.runtime.picture.images import unread
from csflow.toolkit.data.layouts.beside import find_folder, find_kolektor, find_kolektor_2
from csflow.toolkit.data.layouts.industrial import find_dagm, find_mtd, find_real_iad, find_visa
from csflow.toolkit.data.layouts.mvtec import find as find_mvtec
from csflow.toolkit.data.layouts.tree import child, folders, words
from csflow.toolkit.data.masks import check_masks, load_mask
from csflow.toolkit.data.sample import Dataset, Sample

__all__ = ["Dataset", "Sample", "check_test", "load_dataset", "load_mask"]

FINDERS: tuple[Callable[[Path], Dataset | None], ...] = (
    *(find_mtd, find_kolektor_2, find_dagm, find_visa, find_real_iad, find_mvtec, find_kolektor, find_folder),
)
"""Asked in this order: what is more special comes first."""
OWN_PLACES = ("dagm", "kolektorsdd2")
"""Layouts with a train/ of their own, where good and defective parts lie together."""
SHOWN = 5


def load_dataset(root: Path, image_size: int | None = None, any_size: bool = False) -> Dataset:
    """Find out the layout of `root` (docs/data.md lists them) and list its pictures.

    Args:
        image_size: side of the model input in pixels; where given, training pictures are checked against it and
            against each other, by their headers. Layouts whose pictures differ in size by nature are exempt.
        any_size: skip that check.

    Raises DataError naming the folder or file and what to do: no good pictures, a defect folder inside train/, a
    picture of another size, smaller than the model input, or unreadable.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: name one with train/good in it, or with good pictures")
    dataset = next((found for find in FINDERS if (found := find(root)) is not None), None)
    if dataset is None:
        raise DataError(_nothing(root))
    if image_size is not None and not any_size and not dataset.any_size:
        _check_sizes(dataset, image_size)
    line = unread(root.rglob("*"))
    return dataset if line is None else replace(dataset, left_out=(*dataset.left_out, line))


def check_test(dataset: Dataset) -> None:
    """Look at the test pictures, by their headers, and their masks, before the first is scored.

    Raises DataError where there are no good or no defective ones, or pictures or masks cannot be read or do not fit.
    """
    labels = {sample.label for sample in dataset.test}
    if GOOD not in labels or labels == {GOOD}:
        missing, place = ("defective", "<defect>") if GOOD in labels else (GOOD, GOOD)
        if dataset.layout == "folder":
            do = f"put some in {dataset.root / '<defect>'}, and the good ones in {dataset.root / GOOD}"
        elif child(dataset.root, "train") and dataset.layout not in OWN_PLACES:
            do = f"put some in {dataset.root / 'test' / place}"
        else:
            do = f"as a data set of layout {dataset.layout} it is not whole; copy it again"
        raise DataError(f"no {missing} test pictures in {dataset.root}: evaluation compares good with defect; {do}")
    each((sample.path for sample in dataset.test), size_of)
    check_masks(dataset.test)


def _nothing(root: Path) -> str:
    inside = folders(root)
    if several := [folder.name for folder in inside if _is_dataset(folder)]:
        names = ", ".join(map(shown, several[:SHOWN]))
        return f"{root} holds data sets of several products ({names}): name one of these folders"
    names = ", ".join(shown(f.name) for f in inside[:SHOWN]) or "nothing"
    return (
        f"no good pictures: {root} has neither train/good nor pictures (it holds {names}): call the folder of good "
        f"parts {', '.join(GOOD_NAMES[:-1])} or {GOOD_NAMES[-1]}, beside one for each type of defect, or name it itself"
    )


def _is_dataset(folder: Path) -> bool:
    try:
        return any(find(folder) is not None for find in FINDERS if find is not find_folder)
    except DataError:
        return False


def _check_sizes(dataset: Dataset, image_size: int) -> None:
    sizes = each((sample.path for sample in dataset.train), size_of)
    usual, _ = Counter(sizes.values()).most_common(1)[0]
    if others := [f"{path} ({w}x{h})" for path, (w, h) in sizes.items() if (w, h) != usual]:
        named = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
        raise DataError(
            f"{words(len(others), 'picture')} of {len(sizes)} are of another size than most, "
            f"{usual[0]}x{usual[1]} pixels upright: {named}; remove them, or pass --any-size if that is meant"
        )
    if min(usual) < image_size:
        far = " (and far from square: see --roi)" if max(usual) > SQUEEZED * min(usual) else ""
        raise DataError(
            f"pictures of {usual[0]}x{usual[1]} pixels ({next(iter(sizes))}) are smaller than the model input of "
            f"{image_size}{far}: lower --image-size, or pass --any-size to enlarge them"
        )
