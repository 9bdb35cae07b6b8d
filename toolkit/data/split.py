"""Good pictures for training, thresholds and testing, where nobody has parted them."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csflow.calibration.metrics import GOOD
from csflow.calibration.thresholds import percent, reachable, required_parts
from csflow.runtime.atomic import is_vacant, whole_folder
from csflow.runtime.errors import DataError
from csflow.runtime.labels.folder import LabelFolder
from csflow.toolkit.data.dataset import Dataset, Sample
from csflow.toolkit.data.hold_out import split_evenly
from csflow.toolkit.data.provenance import file_hashes

__all__ = ["Promise", "calibrate_words", "set_aside_words", "with_set_aside", "write_split"]

RATE = 0.01
CONFIDENCE = 0.95
SHARE = 3
"""At most one good picture in so many is for the thresholds."""
TEST_SHARE = 6
FEWEST = 20
"""Good pictures below which none is set aside: a model needs them more."""


@dataclass(frozen=True)
class Promise:
    """The false-reject rate that thresholds shall promise; both shares in 0..1."""

    rate: float = RATE
    confidence: float = CONFIDENCE

    def parts_of(self, good: int) -> int:
        """How many of so many good pictures are for the thresholds."""
        return 0 if good < FEWEST else min(required_parts(self.rate, self.confidence), good // SHARE)

    def words(self, parts: int) -> str:
        """What so many pictures can promise."""
        best = reachable(parts, self.confidence).replace("%", " %")
        text = f"they can promise at most {best} false rejects at {percent(self.confidence)} confidence"
        needed = required_parts(self.rate, self.confidence)
        return text if parts >= needed else f"{text} ({percent(self.rate)} needs {needed} parts)"

    def option(self, parts: int) -> str:
        """What `csflow calibrate` needs to be told about so many pictures; empty where its defaults fit."""
        fits = parts >= required_parts(RATE, self.confidence)
        return "" if fits else f" --false-reject-rate {reachable(parts, self.confidence)}"


def with_set_aside(dataset: Dataset, parts: int | None = None) -> Dataset:
    """`dataset` with some of its training pictures kept for thresholds, spread evenly over them.

    What somebody said to train with (`csflow label --use train`) is trained with.

    Args:
        parts: how many; None takes as many as the default promise needs, at most a third, where there are neither
            pictures for thresholds nor good ones to test with. A data set with pictures for thresholds stays as it is.

    Raises DataError where some are asked for and there are pictures for thresholds, where fewer than 2 would be left to
    train with, or labels.jsonl is not csflow's.
    """
    good = len(dataset.train)
    parted = dataset.calibration or any(sample.label == GOOD for sample in dataset.test) or dataset.any_size
    count = (0 if parted else Promise().parts_of(good)) if parts is None else parts
    if parts and dataset.calibration:
        raise DataError(
            f"{dataset.root} holds {len(dataset.calibration)} pictures for thresholds already: leave --set-aside out"
        )
    if not count or dataset.calibration:
        return dataset
    if count > good - 2:
        raise DataError(f"of {good} good pictures, {count} cannot be set aside and 2 be trained with: bring more")
    wanted = {dataset.root / label.picture for label in LabelFolder(dataset.root).read()}
    free = [sample for sample in dataset.train if sample.path not in wanted]
    _, aside = _part(free, min(count, max(0, len(free) - 2)))
    kept = tuple(sample for sample in dataset.train if sample not in aside)
    return replace(dataset, train=kept, calibration=aside, set_aside=len(aside))


def set_aside_words(dataset: Dataset) -> list[str]:
    """What became of the pictures for thresholds, for a terminal."""
    if dataset.set_aside:
        good, told = dataset.set_aside + len(dataset.train), Promise().words(dataset.set_aside)
        return [f"  {dataset.set_aside} of {good} good pictures are set aside for csflow calibrate: {told}"]
    if dataset.calibration:
        return []
    return ["  no good pictures for thresholds: take some into calibration/good, or --set-aside N of these"]


def calibrate_words(dataset: Dataset) -> str:
    """What to name to `csflow calibrate` after a training with this data set, options included."""
    folders = sorted({str(sample.path.parent) for sample in dataset.calibration})
    if not folders:
        return "GOOD_PICTURES"
    return " ".join(map(shlex.quote, folders)) + Promise().option(len(dataset.calibration))


def write_split(dataset: Dataset, target: Path, promise: Promise, test_share: float | None = None) -> list[str]:
    """Write train/good, calibration/good, test/good and test/<defect> into the new or empty folder `target`.

    Pictures are linked where the file system can, else copied; equal files count once.

    Args:
        dataset: its good pictures are parted; its defective ones, and their masks, go to the test.
        promise: what the thresholds shall promise; at most a third of the good pictures serves it.
        test_share: share of the good pictures to test with, in 0..0.5; None is a sixth where there are defective ones.

    Returns what was done, in words. Raises DataError where the data set is parted already, pictures are too few, or
    `target` is not empty; OSError as the file system does, which leaves nothing behind.
    """
    if dataset.calibration or any(sample.label == GOOD for sample in dataset.test):
        raise DataError(f"{dataset.root} is parted already: csflow train takes it as it is")
    if not is_vacant(target):
        raise DataError(f"{target} exists and is not empty: name a new folder")
    good, copies = _without_copies(dataset.train)
    share = (1 / TEST_SHARE if dataset.test else 0.0) if test_share is None else test_share
    parts = promise.parts_of(len(good))
    rest, thresholds = _part(good, parts)
    train, tested = _part(rest, round(share * len(good)))
    places = {"train/good": train, "calibration/good": thresholds, "test/good": tested}
    for sample in dataset.test:
        places[f"test/{sample.label}"] = (*places.get(f"test/{sample.label}", ()), sample)
    # Part of a data set would train and calibrate like a whole one.
    with whole_folder(target) as folder:
        for place, samples in places.items():
            _place(samples, dataset.root, folder, place)
    lines = [f"{len(samples)} pictures in {target / place}" for place, samples in places.items() if samples]
    told = [f"for the thresholds: {promise.words(parts)}"] if parts else [f"fewer than {FEWEST}: none for thresholds"]
    return [*lines, *told, *([f"{copies} copies of other pictures left out"] if copies else [])]


def _part(samples: Sequence[Sample], count: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(kept, the `count` others), spread evenly; one alone cannot be spread."""
    return split_evenly(samples, count / len(samples)) if count else (tuple(samples), ())


def _without_copies(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], int]:
    hashes = file_hashes(samples)
    first = {hashes[sample.path]: sample for sample in reversed(samples)}
    kept = tuple(sample for sample in samples if first[hashes[sample.path]] is sample)
    return kept, len(samples) - len(kept)


def _place(samples: Sequence[Sample], root: Path, target: Path, place: str) -> None:
    for sample in samples:
        name = _name(sample.path, root)
        _link(sample.path, target / place / name)
        if sample.mask is not None and sample.mask.is_file():
            kind = place.partition("/")[2]
            _link(sample.mask, target / "ground_truth" / kind / f"{Path(name).stem}_mask{sample.mask.suffix}")


def _name(path: Path, root: Path) -> str:
    """Its folders below `root` are part of the name: pictures of two folders may have the same."""
    return "-".join(path.relative_to(root).parts)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
