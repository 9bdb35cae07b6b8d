"""What a user says about a training: options of `csflow train`, keys of a fleet's products; and the plans it makes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csflow.runtime.atomic import alone_in
from csflow.runtime.errors import BundleError, ConfigError
from csflow.runtime.picture.region import Region, load_region
from csflow.toolkit.choosing.choose import Candidate, Choice, choose
from csflow.toolkit.data.dataset import Dataset, load_dataset
from csflow.toolkit.data.split import with_set_aside
from csflow.toolkit.methods.reporter import Reporter
from csflow.toolkit.options import checked
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan, named_methods

__all__ = ["AUTO", "TrainSettings", "choose_beside"]

AUTO = "auto"
"""The method that stands for the best of the candidates."""
WATCHING = 0.1
"""Share of the good pictures that is held out for early_stop, unless told otherwise."""
OVERLAP = 4
"""A tile's side over the overlap that is taken where none is given."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Each means what the option of `csflow train` by its name means."""

    method: str = "cs-flow"
    """With its options, or 'auto'."""
    candidates: str = "mahalanobis,padim,nearest"
    """Methods with commas between them, among which 'auto' chooses; the preferred first."""
    backbone: str = "tf_efficientnet_b5.aa_in1k"
    backbone_weights: str = "auto"
    backbone_precision: str = "fp32"
    padding: str = "timm"
    image_size: int = 768
    scales: int | None = None
    stages: tuple[int, ...] | None = None
    flips: str = "none"
    align: str | None = None
    exposure: int | None = None
    hold_out: float | None = None
    """None: a tenth where the training watches for the epoch to stop after, else nothing."""
    roi: tuple[int, int, int, int] | None = None
    window: tuple[int, int] | None = None
    region: str | None = None
    tile: int | None = None
    overlap: int | None = None
    set_aside: int | None = None
    any_size: bool = False

    def __post_init__(self) -> None:
        if not (0.0 <= (self.hold_out or 0.0) <= 0.5 and (self.set_aside or 0) >= 0):
            raise ValueError("expected hold_out from 0 to 0.5 and set_aside of at least 0")
        if (1 if self.tile is None else self.tile) < 1 or (self.overlap or 0) < 0:
            raise ValueError("expected tile of at least 1 and overlap of at least 0 pixels")

    @property
    def area(self) -> Region:
        """Region of interest, ignored areas and window. Raises ConfigError for one that cannot be."""
        if self.roi and self.region:
            raise ConfigError("roi and region both name the region of interest: give one")
        area = load_region(self.region) if self.region else checked(Region, self.roi)
        if self.window and area.window:
            raise ConfigError("window and region both name the window: give one")
        found: Region = checked(replace, area, window=self.window or area.window)
        return found

    def plans(self, given: Mapping[str, Any] | None = None) -> dict[str, TrainPlan]:
        """By method with its options: what is trained, or each of the candidates.

        Args:
            given: options of CS-Flow by name, from elsewhere than behind its name.

        Raises ConfigError for an unknown method, option or backbone, and for what does not go together.
        """
        named = named_methods(self.candidates) if self.method == AUTO else [self.method]
        return {name: self._plan(name, given) for name in named}

    def dataset(self, images: Path) -> Dataset:
        """The pictures, with some set aside. Raises DataError for what cannot be trained with."""
        roi = self.area.roi
        # What a tile needs is told by the training, in words about tiles.
        least = 1 if self.tile else min(self.image_size, *roi[2:]) if roi else self.image_size
        return with_set_aside(load_dataset(images, image_size=least, any_size=self.any_size), self.set_aside)

    def _plan(self, method: str, given: Mapping[str, Any] | None) -> TrainPlan:
        area = self.area
        choice = BackboneChoice(
            self.backbone, self.image_size, self.padding, self.scales, self.stages, self.backbone_precision
        )
        model, training = model_plan(method, choice, given)
        hold_out = self.hold_out
        if hold_out is None:
            hold_out = WATCHING if getattr(training, "early_stop", False) else 0.0
        return TrainPlan(
            model,
            training,
            self.backbone_weights,
            self.flips,
            area.roi,
            area.ignore,
            area.window,
            hold_out,
            self.align,
            self._tiles,
            self.exposure,
        )

    @property
    def _tiles(self) -> tuple[int, int] | None:
        if self.tile is None:
            if self.overlap is not None:
                raise ConfigError("overlap is that of tiles: give tile too")
            return None
        if self.tile < self.image_size and not self.any_size:
            raise ConfigError(
                f"tiles of {self.tile} px are smaller than the model input of {self.image_size}: lower image_size, or "
                "say any_size to enlarge them"
            )
        return self.tile, self.tile // OVERLAP if self.overlap is None else self.overlap


def choose_beside(bundle: Path, dataset: Dataset, plans: Mapping[str, TrainPlan], reporter: Reporter) -> Choice:
    """The best of the plans by `choose`, worked out beside the bundle: there must be room for its features, too.

    Raises as `choose` does, BundleError where another training chooses for it, and OSError as the file system does.
    """
    work = bundle.with_name(f"{bundle.name}.choosing")
    refusal = BundleError(f"another training works in {work}: wait for it, or name another bundle")
    with alone_in(work, refusal):
        # A process that was killed leaves it.
        shutil.rmtree(work / "work", ignore_errors=True)
        (work / "work").mkdir()
        try:
            return choose(dataset, [Candidate(name, plan) for name, plan in plans.items()], work / "work", reporter)
        finally:
            shutil.rmtree(work, ignore_errors=True)
