"""train/good, test/<defect>, ground_truth/<defect>: MVTec AD and those that follow it.

MVTec AD, MPDD; MVTec AD 2 (`test_public`), MVTec LOCO (`validation`, a folder of masks a picture), AutoVI (the same
folders of masks), BTAD (`ok` and `ko`), VisA as its authors' prepare_data.py writes it (masks without `_mask`).
"""

from __future__ import annotations

from pathlib import Path

from csflow.calibration.metrics import GOOD
from csflow.calibration.pictures import is_good
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import list_images
from csflow.toolkit.data.layouts.tree import child, folders, label_of, pictures, unused, words
from csflow.toolkit.data.layouts.truth import Truth
from csflow.toolkit.data.masks import beside
from csflow.toolkit.data.sample import Dataset, Sample

__all__ = ["find"]

LOGICAL = ("logical_anomalies", "structural_anomalies")
PRIVATE = ("test_private", "test_private_mixed")


def find(root: Path) -> Dataset | None:
    """The data set at `root`, or None where there is no train/.

    Raises DataError for a defect folder inside train/ or calibration/, and where there are no good pictures.
    """
    train = child(root, "train")
    if train is None:
        return None
    calibration, validation = child(root, "calibration"), child(root, "validation", "val")
    test = child(root, "test", "test_public")
    truth = child(root, "ground_truth") or child(test, "ground_truth")
    masks = Truth(truth)
    notes: list[str] = []
    good = _good(train, notes)
    thresholds = _good(calibration, notes) if calibration else _good_of(validation, notes)
    tested = [s for f in folders(test) if f != truth for s in _labelled(f, masks, notes)]
    notes += masks.left_out()
    notes += unused(root, (train, calibration, None if calibration else validation, test, truth))
    if child(root, *PRIVATE) is not None:
        notes.append("the truth of test_private is not published")
    return Dataset(root, _name(root, test, masks), good, thresholds, tuple(tested), tuple(notes))


def _name(root: Path, test: Path | None, masks: Truth) -> str:
    if test is not None and test.name.lower() == "test_public":
        return "mvtec-ad-2"
    if child(test, *LOGICAL):
        return "mvtec-loco"
    if masks.by_folder:
        return "autovi"
    if child(test, "ko") and child(child(root, "train"), "ok"):
        return "btad"
    if child(test, "bad") and masks.plain:
        return "visa"
    return "mvtec"


def _good(folder: Path, notes: list[str]) -> tuple[Sample, ...]:
    """Of train/ and calibration/, where anything else than good parts would spoil model or thresholds."""
    if others := [f.name for f in folders(folder) if not is_good(f)]:
        raise DataError(
            f"{folder} holds {', '.join(others[:3])}: it may hold good parts only, in {folder / GOOD}; "
            "move defective parts to test/<defect>"
        )
    samples = _good_of(folder, notes)
    if not samples:
        place = next((f for f in folders(folder) if is_good(f)), folder / GOOD)
        raise DataError(f"no pictures in {place}: put pictures of good parts there")
    if loose := list_images(folder):
        notes.append(f"left out: {words(len(loose), 'picture')} in {shown(folder.name)}/ itself")
    return samples


def _good_of(folder: Path | None, notes: list[str]) -> tuple[Sample, ...]:
    samples = [sample for f in folders(folder) if is_good(f) for sample in _labelled(f, Truth(None), notes)]
    return tuple(samples)


def _labelled(folder: Path, masks: Truth, notes: list[str]) -> list[Sample]:
    found, own = beside(pictures(folder))
    label = label_of(folder)
    where = f"{shown(folder.parent.name)}/{shown(folder.name)}"
    if deep := sum(picture.parent != folder for picture in found):
        notes.append(f"{where}: {deep} of {words(len(found), 'picture')} lie in its folders, and are taken too")
    if label == GOOD:
        if own:
            notes.append(f"left out: {words(len(own), 'mask')} beside the good pictures of {where}")
        return [Sample(picture) for picture in found]
    return [Sample(p, label, own.get(p) or masks.mask(folder, p)) for p in found]
