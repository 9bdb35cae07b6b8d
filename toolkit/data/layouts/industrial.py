"""Layouts that share nothing with others: VisA as distributed, DAGM 2007, Real-IAD, Magnetic Tile Defects."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from csflow.calibration.metrics import GOOD
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import list_images
from csflow.toolkit.data.layouts.tree import child, folders, held_out, pictures, unused, words
from csflow.toolkit.data.layouts.truth import Truth
from csflow.toolkit.data.sample import Dataset, Sample

__all__ = ["find_dagm", "find_mtd", "find_real_iad", "find_visa"]

MTD_GOOD = "MT_Free"
MTD_SPLIT = "train_good.txt"
DEFECT = "defect"


def find_visa(root: Path) -> Dataset | None:
    """VisA: <object>/Data/Images/{Normal,Anomaly}, Data/Masks/Anomaly; ../split_csv/1cls.csv says what is for training.

    Masks number their defects from 1. None where it is something else.
    """
    images = child(child(root, "Data"), "Images")
    normal, anomaly = child(images, "Normal"), child(images, "Anomaly")
    if normal is None:
        return None
    masks = Truth(child(child(root, "Data"), "Masks"))
    good = pictures(normal)
    table = root.parent / "split_csv" / "1cls.csv"
    wanted = _visa_training(table, root) if table.is_file() else None
    notes = (
        [] if wanted is not None else [f"{table} is missing: every normal picture is for training, none for testing"]
    )
    names = {p.relative_to(root.parent).as_posix(): p for p in good}
    if missing := sorted((wanted or frozenset()) - names.keys()):
        raise DataError(
            f"{table} names {words(len(missing), 'training picture')} of {root.name} that {normal} lacks, for example "
            f"{missing[0]}: copy the data set again"
        )
    train = good if wanted is None else [p for name, p in names.items() if name in wanted]
    if not train:
        raise DataError(f"{table} names no training picture of {root.name}: copy the data set again")
    chosen = set(train)
    test = [Sample(p) for p in good if p not in chosen]
    if anomaly is not None:
        test += [Sample(p, "anomaly", masks.mask(anomaly, p)) for p in pictures(anomaly)]
    return Dataset(root, "visa", _good(train), (), tuple(test), (*notes, *masks.left_out()))


def _visa_training(table: Path, root: Path) -> frozenset[str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return frozenset(
            r["image"] for r in rows if (r["object"], r["split"], r["label"]) == (root.name, "train", "normal")
        )
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError):
        raise DataError(
            f"{table} cannot be read: expected columns object, split, label, image, mask; copy the data set again"
        ) from None


def find_dagm(root: Path) -> Dataset | None:
    """DAGM 2007: <class>/Train/*.PNG, Train/Label/<name>_label.PNG for the defective ones, Test/ alike."""
    train, test = child(root, "Train"), child(root, "Test")
    if train is None or child(train, "Label") is None:
        return None
    labelled = {folder: Truth(child(folder, "Label")) for folder in (train, test) if folder is not None}
    samples = {
        folder: [_dagm_sample(p, truth, folder) for p in list_images(folder)] for folder, truth in labelled.items()
    }
    good = tuple(sample for sample in samples[train] if sample.label == GOOD)
    if not good:
        raise DataError(f"every picture in {train} has a label: there are no good parts to learn from")
    notes = []
    if len(good) < len(samples[train]):
        notes.append(f"left out: {words(len(samples[train]) - len(good), 'defective picture')} in {train.name}/")
    notes += unused(root, (train, test))
    return Dataset(root, "dagm", good, (), tuple(samples[test]) if test else (), tuple(notes))


def _dagm_sample(picture: Path, truth: Truth, folder: Path) -> Sample:
    mask = truth.mask(folder, picture)
    return Sample(picture) if mask is None else Sample(picture, DEFECT, mask)


def find_real_iad(root: Path) -> Dataset | None:
    """Real-IAD: OK/<specimen>/*.jpg, NG/<defect>/<specimen>/*.jpg with a .png mask of the same name.

    Pictures directly in OK/ or NG/ are somebody's own folders of these names.
    """
    good, bad = child(root, "OK"), child(root, "NG")
    if good is None or bad is None or not (folders(good) and folders(bad)) or list_images(good) or list_images(bad):
        return None
    kept, tested = held_out(folders(good))
    test = [Sample(picture) for folder in tested for picture in pictures(folder)]
    for defect in folders(bad):
        test += _same_name(pictures(defect), shown(defect.name))
    notes = [f"no split of its own: every third specimen is for testing ({len(tested)} of {len(kept) + len(tested)})"]
    train = [picture for folder in kept for picture in pictures(folder)]
    return Dataset(root, "real-iad", _good(train), (), tuple(test), (*notes, *unused(root, (good, bad))))


def _same_name(found: Iterable[Path], label: str) -> list[Sample]:
    masks = {p.with_suffix(""): p for p in found if p.suffix.lower() == ".png"}
    photographs = [p for p in found if p.suffix.lower() != ".png"]
    if not photographs:
        return [Sample(picture, label) for picture in found]
    return [Sample(picture, label, masks.get(picture.with_suffix(""))) for picture in photographs]


def find_mtd(root: Path) -> Dataset | None:
    """Magnetic Tile Defects: MT_<Defect>/Imgs/*.jpg with .png masks; train_good.txt names the training pictures."""
    if not (root / MTD_GOOD).is_dir():
        return None
    good = [p for p in list_images(root / MTD_GOOD / "Imgs") if p.suffix.lower() == ".jpg"]
    names = _mtd_split(root)
    if missing := sorted(names - {p.name for p in good}):
        raise DataError(
            f"{root / MTD_SPLIT} names {len(missing)} pictures that {root / MTD_GOOD / 'Imgs'} lacks, "
            f"for example {missing[0]}: copy the data set again"
        )
    train = [p for p in good if p.name in names]
    if not train:
        raise DataError(f"{root / MTD_SPLIT} names no picture: it must name the training pictures, one a line")
    test = [Sample(p) for p in good if p.name not in names]
    for folder in folders(root):
        if folder.name.startswith("MT_") and folder.name != MTD_GOOD:
            test += _same_name(list_images(folder / "Imgs"), shown(folder.name[3:].lower()))
    notes = unused(root, [folder for folder in folders(root) if folder.name.startswith("MT_")])
    return Dataset(root, "mtd", _good(train), (), tuple(test), tuple(notes), any_size=True)


def _mtd_split(root: Path) -> frozenset[str]:
    try:
        return frozenset((root / MTD_SPLIT).read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"{root / MTD_SPLIT} is missing or unreadable: it must name the training pictures, one a line"
        ) from None


def _good(found: Iterable[Path]) -> tuple[Sample, ...]:
    return tuple(Sample(picture) for picture in found)
