"""What a data set is once its layout is known: pictures, what is known about each, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csflow.calibration.metrics import GOOD

__all__ = ["Dataset", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One picture and what is known about it."""

    path: Path
    label: str = GOOD
    """'good', or the type of the defect."""
    mask: Path | None = None
    """Picture of the size of `path` that marks the defect, or a folder of such pictures, which count together."""


@dataclass(frozen=True)
class Dataset:
    """The pictures of one product. Training and calibration hold good parts only."""

    root: Path
    layout: str
    """One of the layouts of docs/data.md: 'mvtec', 'mvtec-ad-2', 'mvtec-loco', 'btad', 'visa', 'autovi', 'kolektorsdd',
    'kolektorsdd2', 'dagm', 'real-iad', 'mtd' or 'folder'."""
    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()
    left_out: tuple[str, ...] = ()
    """In words: pictures and masks below `root` that are not used, and splits that are csflow's own."""
    any_size: bool = False
    """Whether its pictures differ in size by nature."""
    set_aside: int = 0
    """How many of the pictures for thresholds csflow itself took from the good ones (`split.with_set_aside`)."""
    made_from: Path | None = None
    """The user's folder, where `root` is a temporary one with changed pictures (`randomised`)."""

    @property
    def place(self) -> Path:
        """The user's folder: what terminal and reports name."""
        return self.made_from or self.root

    def lines(self) -> list[str]:
        """The layout, how many pictures are for what, and what was left out, for a terminal."""
        good = sum(sample.label == GOOD for sample in self.test)
        counts = (
            f"{len(self.train)} good pictures to train with, {len(self.calibration)} for thresholds, "
            f"{good} good and {len(self.test) - good} defective ones to test"
        )
        return [f"{self.place}: layout {self.layout}, {counts}", *(f"  {line}" for line in self.left_out)]
