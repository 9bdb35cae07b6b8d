"""Data sets on disk: the MVTec layout, the Magnetic Tile Defects (MTD) layout, or a bare folder of good pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.metrics import GOOD
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import list_images, read_image

__all__ = ["Dataset", "Sample", "load_dataset", "load_mask"]

MTD_GOOD = "MT_Free"
MTD_SPLIT = "train_good.txt"


@dataclass(frozen=True)
class Sample:
    """One picture and what is known about it."""

    path: Path
    label: str = GOOD
    """'good', or the type of the defect."""
    mask: Path | None = None
    """Picture of the size of `path`; pixels above 127 are defective."""


@dataclass(frozen=True)
class Dataset:
    """The pictures of one product. Training and calibration hold good parts only."""

    root: Path
    layout: str
    """'mvtec', 'mtd' or 'folder'."""
    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()


def load_dataset(root: Path, image_size: int | None = None, any_size: bool = False) -> Dataset:
    """Find out the layout of `root` and list its pictures.

    Layouts:
        mvtec: train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png; calibration/good optional.
        mtd: MT_Free/Imgs and MT_<Defect>/Imgs with .jpg pictures and .png masks; train_good.txt names the training
            pictures (DifferNet's list), all others are the test set.
        folder: good pictures directly in `root`, all for training.

    Args:
        image_size: side of the model input in pixels; where given, training pictures are checked against it and
            against each other, by their headers. The MTD layout is exempt: its pictures differ in size by nature.
        any_size: skip that check.

    Raises DataError naming the folder or file and what to do: no good pictures, a defect folder inside train/, a
    picture of another size, smaller than the model input, or unreadable.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: name one with train/good in it, or with good pictures")
    if (root / MTD_GOOD).is_dir():
        return _mtd(root)
    dataset = _mvtec(root) if (root / "train").is_dir() else _folder(root)
    if image_size is not None and not any_size:
        _check_sizes(dataset.train, image_size)
    return dataset


def load_mask(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The defect mask at (width, height) = `size`, (H, W) bool; all False for a good part.

    Resized by nearest neighbour, so that no pixel is half defective. Raises DataError for a missing or damaged mask.
    """
    if sample.mask is None:
        if sample.label != GOOD:
            raise DataError(f"{sample.path} has no mask")
        return np.zeros((size[1], size[0]), dtype=np.bool_)
    grey = Image.fromarray(read_image(sample.mask)).convert("L").resize(size, Image.Resampling.NEAREST)
    return np.asarray(grey) > 127


def _mvtec(root: Path) -> Dataset:
    train = _good_only(root / "train")
    calibration = _good_only(root / "calibration") if (root / "calibration").is_dir() else ()
    test: list[Sample] = []
    for folder in _folders(root / "test"):
        test += [Sample(p, shown(folder.name), _mvtec_mask(root, folder.name, p)) for p in list_images(folder)]
    return Dataset(root, "mvtec", train, calibration, tuple(test))


def _good_only(folder: Path) -> tuple[Sample, ...]:
    others = [f.name for f in _folders(folder) if f.name != GOOD]
    if others:
        raise DataError(
            f"{folder} holds {', '.join(others[:3])}: it may hold good parts only, in {folder / GOOD}; "
            "move defective parts to test/<defect>"
        )
    samples = tuple(Sample(p) for p in list_images(folder / GOOD)) if (folder / GOOD).is_dir() else ()
    if not samples:
        raise DataError(f"no pictures in {folder / GOOD}: put pictures of good parts there")
    return samples


def _mvtec_mask(root: Path, label: str, path: Path) -> Path | None:
    if label == GOOD:
        return None
    mask = root / "ground_truth" / label / f"{path.stem}_mask.png"
    return mask if mask.is_file() else None


def _mtd(root: Path) -> Dataset:
    good = [p for p in list_images(root / MTD_GOOD / "Imgs") if p.suffix.lower() == ".jpg"]
    names = _mtd_split(root)
    train = tuple(Sample(p) for p in good if p.name in names)
    if missing := sorted(names - {p.name for p in good}):
        raise DataError(
            f"{root / MTD_SPLIT} names {len(missing)} pictures that {root / MTD_GOOD / 'Imgs'} lacks, "
            f"for example {missing[0]}: copy the data set again"
        )
    if not train:
        raise DataError(f"{root / MTD_SPLIT} names no picture: it must name the training pictures, one a line")
    test = [Sample(p) for p in good if p.name not in names]
    for folder in _folders(root):
        if folder.name.startswith("MT_") and folder.name != MTD_GOOD:
            pictures = [p for p in list_images(folder / "Imgs") if p.suffix.lower() == ".jpg"]
            test += [Sample(p, folder.name[3:].lower(), _mtd_mask(p)) for p in pictures]
    return Dataset(root, "mtd", train, (), tuple(test))


def _mtd_split(root: Path) -> frozenset[str]:
    try:
        return frozenset((root / MTD_SPLIT).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"{root / MTD_SPLIT} is missing or unreadable: it must name the training pictures, one a line"
        ) from None


def _mtd_mask(path: Path) -> Path | None:
    mask = path.with_suffix(".png")
    return mask if mask.is_file() else None


def _folder(root: Path) -> Dataset:
    samples = tuple(Sample(p) for p in list_images(root))
    if not samples:
        inside = ", ".join(f.name for f in _folders(root)[:5]) or "nothing"
        raise DataError(f"no good pictures: {root} has neither train/good nor pictures (it holds {inside})")
    return Dataset(root, "folder", samples)


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _check_sizes(samples: Sequence[Sample], image_size: int) -> None:
    sizes = {sample.path: _header_size(sample.path) for sample in samples}
    usual, _ = Counter(sizes.values()).most_common(1)[0]
    for path, size in sizes.items():
        if size != usual:
            raise DataError(
                f"{path} has {size[0]}x{size[1]} pixels, most others {usual[0]}x{usual[1]}: "
                "remove it, or pass --any-size if that is meant"
            )
    if min(usual) < image_size:
        raise DataError(
            f"pictures of {usual[0]}x{usual[1]} pixels ({next(iter(sizes))}) are smaller than the model input of "
            f"{image_size}: lower --image-size, or pass --any-size to enlarge them"
        )


def _header_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            return width, height
    except (OSError, SyntaxError, ValueError):
        raise DataError(f"{path} is not a picture that can be read: remove or replace it") from None
