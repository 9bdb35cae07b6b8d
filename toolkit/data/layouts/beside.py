"""Masks beside their pictures: KolektorSDD (`Part0_label.bmp`), KolektorSDD 2 (`10000_GT.png`), or a bare folder.

What is defective only its mask says: one that marks nothing belongs to a good part.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from csflow.calibration.pictures import is_good
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import list_images
from csflow.toolkit.data.layouts.tree import child, folders, held_out, kinds, label_of, pictures, unused, words
from csflow.toolkit.data.masks import beside, marked
from csflow.toolkit.data.sample import Dataset, Sample

__all__ = ["find_folder", "find_kolektor", "find_kolektor_2"]

DEFECT = "defect"


def find_kolektor(root: Path) -> Dataset | None:
    """KolektorSDD: a folder an item, kos01/Part0.jpg with kos01/Part0_label.bmp; None where it is something else."""
    items = [folder for folder in folders(root) if beside(list_images(folder))[1]]
    if not items or list_images(root):
        return None
    kept, tested = held_out(items)
    train, defective = _parted(_samples(kept))
    test = [*defective, *_samples(tested)]
    notes = [f"no split of its own: every third item is for testing ({len(tested)} of {len(items)} folders)"]
    return Dataset(root, "kolektorsdd", tuple(train), (), tuple(test), (*notes, *unused(root, items)), any_size=True)


def find_kolektor_2(root: Path) -> Dataset | None:
    """KolektorSDD 2: train/10000.png with train/10000_GT.png, test/ alike; None where it is something else."""
    train, test = child(root, "train"), child(root, "test")
    if train is None or not beside(list_images(train))[1]:
        return None
    good, defective = _parted(_samples([train]))
    if not good:
        raise DataError(f"no picture in {train} has an empty mask: there are no good parts to learn from")
    notes = [f"left out: {words(len(defective), 'defective picture')} in train/"] if defective else []
    samples = _samples([test] if test else [])
    notes += unused(root, (train, test))
    return Dataset(root, "kolektorsdd2", tuple(good), (), tuple(samples), tuple(notes), any_size=True)


def find_folder(root: Path) -> Dataset | None:
    """Good pictures directly in `root`; None where there are none."""
    found, masks = beside(list_images(root))
    if not found:
        return _good_and_defects(root)
    good, defective = _parted(_sample(picture, masks) for picture in found)
    notes = [f"left out: {words(len(defective), 'picture')} whose mask marks a defect"] if defective else []
    if not good:
        raise DataError(f"every picture in {root} has a mask that marks a defect: name a folder of good parts")
    notes += unused(root, ())
    return Dataset(root, "folder", tuple(good), left_out=tuple(notes))


def _good_and_defects(root: Path) -> Dataset | None:
    """good/ (or what else `GOOD_NAMES` has) beside a folder for each type of defect; None where it is something else.

    Raises DataError where two folders may be the good one, or it is empty.
    """
    good = [folder for folder in folders(root) if is_good(folder)]
    if len(good) > 1:
        names = " and ".join(shown(folder.name) for folder in good)
        raise DataError(f"{root} holds {names}: put all good parts into one of these folders")
    if not good:
        return None
    types = [kind for folder in folders(root) if folder not in good for kind in kinds(folder)]
    tested = [Sample(picture, label_of(kind)) for kind in types for picture in beside(pictures(kind))[0]]
    train = [Sample(picture) for picture in beside(pictures(good[0]))[0]]
    if not train:
        raise DataError(f"no pictures in {good[0]}: put pictures of good parts there")
    return Dataset(root, "folder", tuple(train), (), tuple(tested))


def _samples(where: Iterable[Path]) -> list[Sample]:
    samples = []
    for folder in where:
        found, masks = beside(list_images(folder))
        samples += [_sample(picture, masks) for picture in found]
    return samples


def _sample(picture: Path, masks: dict[Path, Path]) -> Sample:
    mask = masks.get(picture)
    return Sample(picture) if mask is None or not marked(mask).any() else Sample(picture, DEFECT, mask)


def _parted(samples: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
    good: list[Sample] = []
    defective: list[Sample] = []
    for sample in samples:
        (good if sample.mask is None else defective).append(sample)
    return good, defective
