"""What a training is to do, from what a user says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.tiles import LOOKS, NEAR
from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.networks import counts_blocks, resolve_name
from csflow.toolkit.backbones.weights import WeightsRecord, load_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.alignment import lost_words, with_alignment, without_part
from csflow.toolkit.data.hold_out import split_evenly
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.methods.method import Method
from csflow.toolkit.methods.table import METHODS, chosen_method
from csflow.toolkit.model import Model
from csflow.toolkit.options import checked, chosen, read_fields

__all__ = ["BackboneChoice", "Prepared", "SharedFeatures", "Start", "TrainPlan", "model_plan", "named_methods"]


@dataclass(frozen=True)
class Start:
    """A trained model that a training begins with, instead of published weights and a head without any."""

    bundle: Bundle
    model: Model
    """Of the bundle, on the processor; its backbone is changed in place where the plan rounds it."""
    record: WeightsRecord


@dataclass(frozen=True)
class Prepared:
    """Good pictures parted, without those that do not show the part that they are aligned by."""

    how: Preprocessing
    kept: tuple[Sample, ...]
    """They are fitted."""
    held_out: tuple[Sample, ...]
    told: str
    """Which pictures were left out, in words; empty where none was."""


@dataclass(frozen=True)
class TrainPlan:
    """Everything that determines a trained model but the pictures."""

    model: ModelConfig
    training: Any
    """How the head is fitted: of the type `training` of the model's method."""
    weights: str = "auto"
    """As `csflow.toolkit.backbones.weights.load_backbone` takes it."""
    flips: str = "none"
    """Mirror images added to the training: one of `csflow.toolkit.features.FLIPS`."""
    roi: tuple[int, int, int, int] | None = None
    """Region of interest (x, y, width, height) in pixels of the pictures; None is the whole picture."""
    ignore: tuple[tuple[int, int, int, int], ...] = ()
    """Rectangles (x, y, width, height) in pixels of the pictures that the model is never to see."""
    window: tuple[int, int] | None = None
    """Levels (low, high) of pictures of more than 8 bits that become 0 and 255; None takes pictures of 8 bits."""
    hold_out: float = 0.0
    """Share of the good pictures, in 0..0.5, that is scored but not fitted."""
    align: str | None = None
    """What may differ in how parts lie: one of `csflow.runtime.bundle.alignment.MODELS`; None aligns nothing."""
    tiles: tuple[int, int] | None = None
    """(side, overlap) of the tiles that pictures are cut into, in their pixels; None takes them whole."""
    exposure: int | None = None
    """Level that the median of every picture is brought to; None leaves them as bright as they are."""
    start: Start | None = None
    """What to begin with; `model` is its own, but for the precision of the backbone. What comes of it counts the
    pictures that the former model was trained on as its own."""

    @property
    def rounds(self) -> bool:
        """Whether the backbone that `backbone` gives is still to be rounded."""
        is_rounded = self.start is not None and self.start.model.config.backbone.precision == "int8"
        return self.model.backbone.precision == "int8" and not is_rounded

    def backbone(self) -> tuple[Backbone, WeightsRecord]:
        """That of the start, or one of float32 with published weights. Raises as `load_backbone` does."""
        if self.start is not None:
            return self.start.model.backbone, self.start.record
        return load_backbone(self.model.backbone.unrounded, self.weights)

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are prepared. Raises ConfigError for a region that no bundle can have."""
        made: Preprocessing = checked(
            Preprocessing,
            self.model.image_size,
            self.roi,
            ignore=self.ignore,
            window=self.window,
            tiles=self.tiles,
            looks=LOOKS if self.tiles else 0,
            near=NEAR if self.tiles else Preprocessing.near,
            exposure=self.exposure,
        )
        return made

    def prepared(self, good: Sequence[Sample], hold_out: float | None = None) -> Prepared:
        """How pictures are prepared, aligned on those that are fitted where the plan says so, and which show the part.

        Args:
            good: pictures of good parts, in their order.
            hold_out: share that is not fitted, unless it is the plan's own.

        Raises ConfigError where pictures cannot be aligned, DataError as `with_alignment` and `lost_words` do, and for
        fewer than 2 held-out pictures that show the part.
        """
        kept, held_out = split_evenly(good, self.hold_out if hold_out is None else hold_out)
        how, odd = self._aligned([sample.path for sample in kept])
        lost = odd | without_part(how, [sample.path for sample in (*kept, *held_out) if sample.path not in odd])
        told = lost_words([sample.path for sample in good if sample.path in lost], len(good))
        fitted, unseen = (tuple(s for s in samples if s.path not in lost) for samples in (kept, held_out))
        if len(unseen) < min(2, len(held_out)):
            raise DataError(
                f"of {len(held_out)} good pictures that are held out, {len(unseen)} show the part: bring more"
            )
        return Prepared(how, fitted, unseen, told)

    def _aligned(self, good: Sequence[Path]) -> tuple[Preprocessing, frozenset[Path]]:
        if self.start is not None:
            found = self.start.bundle.manifest.preprocessing.align
            made: Preprocessing = checked(dataclasses.replace, self.preprocessing, align=found)
            return made, frozenset()
        return with_alignment(self.preprocessing, self.align, good)


@dataclass(frozen=True)
class SharedFeatures:
    """Features that several trainings on the same pictures read, extracted by the first of them."""

    folder: Path
    backbone: BackboneConfig
    """It reads whatever one of them reads, and is theirs in all else."""


@dataclass(frozen=True)
class BackboneChoice:
    """What a user says about the backbone; None leaves it to the method."""

    name: str
    image_size: int = 768
    padding: str = "timm"
    scales: int | None = None
    stages: tuple[int, ...] | None = None
    precision: str = "fp32"


def model_plan(method: str, choice: BackboneChoice, given: Mapping[str, Any] | None = None) -> tuple[ModelConfig, Any]:
    """The model, and how its head is fitted.

    Args:
        method: its name, and options of it where there are any: 'mahalanobis?shrinkage=0.1'.
        given: options of CS-Flow by name, from elsewhere.

    Raises ConfigError for an unknown method, option or backbone, and for a value out of range.
    """
    name, _, query = method.partition("?")
    family = chosen_method(name)
    values = read_fields(method, query, family.config, family.training)
    if given and name != "cs-flow":
        raise ConfigError(f"--{min(given).replace('_', '-')} is an option of cs-flow: leave it out with {name}")
    if both := sorted(values.keys() & (given or {}).keys()):
        raise ConfigError(f"{both[0]} is given twice, in --method and as an option: leave one out")
    values |= given or {}
    head: Any = chosen(family.config, values)
    how = {"padding": choice.padding} | _reading(family, choice, family.reading.more(head))
    backbone = checked(dataclasses.replace, resolve_name(choice.name), **how)
    backbone = checked(backbone.in_precision, choice.precision)
    model = checked(ModelConfig, choice.image_size, backbone, name, head)
    return model, chosen(family.training, values)


def _reading(family: Method, choice: BackboneChoice, more: Mapping[str, Any]) -> dict[str, Any]:
    """Scales and stages: the user's, or the method's for such a network, of which each size of patches takes one."""
    reading = family.reading
    stages = reading.stages if counts_blocks(choice.name) else reading.others
    return {
        "scales": reading.scales if choice.scales is None else choice.scales,
        "stages": choice.stages or stages[: len(more.get("patches", stages))],
        **more,
    }


def named_methods(text: str) -> list[str]:
    """Methods with commas between them: split where another begins, not inside an option's list of numbers."""
    parts: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        begins = part.partition("?")[0].partition("+")[0] in METHODS
        inside = parts and "?" in parts[-1] and not begins
        parts[-1:] = [f"{parts[-1]},{part}"] if inside else [*parts[-1:], part]
    return parts
