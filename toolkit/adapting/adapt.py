"""A new bundle from one that there is: its backbone rounded, its head fitted again to the features that come of it.

A head in closed form is fitted anew; CS-Flow's weights are gone on with for a few epochs. Neither thresholds nor
graphs are taken over, as the scores are others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted, ConfigError
from csflow.toolkit.backbones.weights import WeightsRecord
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.features import FLIPS
from csflow.toolkit.methods.method import Method
from csflow.toolkit.methods.reporter import Reporter
from csflow.toolkit.methods.table import METHODS, chosen_method
from csflow.toolkit.model import Model
from csflow.toolkit.options import checked
from csflow.toolkit.plan import Start, TrainPlan
from csflow.toolkit.train_model import train_model

__all__ = ["EPOCHS", "Adaptation", "adapt"]

EPOCHS = 5
"""Of CS-Flow, unless told otherwise: its weights know the parts already."""


@dataclass(frozen=True)
class Adaptation:
    """What is to change; None leaves it as the bundle has it."""

    precision: str | None = None
    """Of the backbone: 'int8' rounds one of float32."""
    epochs: int | None = None
    """Of CS-Flow; None is `EPOCHS`."""
    learning_rate: float | None = None
    """Of CS-Flow: the peak of a cosine; None is that of the bundle's own training."""
    hold_out: float | None = None
    """Share of the good pictures, in 0..0.5, that is scored but not fitted."""

    @property
    def of_training(self) -> dict[str, Any]:
        """What it says about a training by gradient descent."""
        given = {"epochs": self.epochs, "learning_rate": self.learning_rate}
        return {name: value for name, value in given.items() if value is not None}


def adapt(
    bundle: Bundle, dataset: Dataset, path: Path, how: Adaptation, reporter: Reporter, fresh: bool = False
) -> Bundle:
    """Fit `bundle` to the good pictures of `dataset`, and write the bundle `path`; `bundle` stays as it is.

    Work in progress lies in `path` + ".training", and is gone on with, as `train_model` does.

    Args:
        fresh: discard unfinished work instead of going on with it.

    Raises:
        ConfigError: the bundle is combined or is `path`, its backbone cannot be rounded, or an option is none of its
            method.
        DataError, SinkError, BundleError, BundleCorrupted: as `train_model` and `Model.load` do.
    """
    if path.resolve() == bundle.path.resolve():
        raise ConfigError(f"{path} is the bundle that is adapted: name another with --bundle, it stays as it is")
    config = ModelConfig.from_manifest(bundle.manifest)
    if config.method not in METHODS:
        raise ConfigError(f"{bundle.path} is a combination: adapt the bundles that it was made from, and combine those")
    precision = how.precision or config.backbone.precision
    if precision != config.backbone.precision and precision != "int8":
        raise ConfigError(f"{bundle.path} has its backbone in int8 alone: train one in {precision} with csflow train")
    backbone = checked(config.backbone.in_precision, precision)
    known = _recorded(bundle)
    plan = TrainPlan(
        dataclasses.replace(config, backbone=backbone),
        _training(bundle, chosen_method(config.method), known, how),
        flips=known["flips"] if known.get("flips") in FLIPS else "none",
        roi=bundle.manifest.preprocessing.roi,
        ignore=bundle.manifest.preprocessing.ignore,
        window=bundle.manifest.preprocessing.window,
        tiles=bundle.manifest.preprocessing.tiles,
        hold_out=_held_out(known) if how.hold_out is None else how.hold_out,
        exposure=bundle.manifest.preprocessing.exposure,
        start=Start(bundle, Model.load(bundle), _record(bundle)),
    )
    return train_model(dataset, path, plan, reporter, fresh)


def _recorded(bundle: Bundle) -> Mapping[str, Any]:
    """What the manifest says about the bundle's own training; nothing of an imported one."""
    training = bundle.manifest.provenance.get("training", {})
    return training if isinstance(training, dict) else {}


def _training(bundle: Bundle, method: Method, known: Mapping[str, Any], how: Adaptation) -> Any:
    """How the head is fitted: as it was, and by gradient descent for a few epochs that end slowly."""
    names = {field.name for field in dataclasses.fields(method.training)}
    descends = {"epochs", "schedule"} <= names
    if how.of_training and not descends:
        option = min(how.of_training).replace("_", "-")
        raise ConfigError(f"{method.name} is fitted in one pass: leave --{option} out")
    changed = {"epochs": EPOCHS, "schedule": "cosine", **how.of_training} if descends else {}
    own = {name: value for name, value in known.items() if name in names}
    try:
        was: Any = schema.from_mapping(method.training, own, "provenance.training")
    except ValueError as error:
        raise BundleCorrupted(f"{bundle.path}: manifest.json: {error}; train again") from None
    return checked(dataclasses.replace, was, **changed)


def _held_out(known: Mapping[str, Any]) -> float:
    """The share that the bundle's own training held out."""
    held_out, images = known.get("held_out", 0), known.get("images", 0)
    return held_out / images if isinstance(held_out, int) and isinstance(images, int) and images else 0.0


def _record(bundle: Bundle) -> WeightsRecord:
    told: Any = bundle.manifest.provenance.get("backbone_weights", {})
    facts = told if isinstance(told, dict) else {}
    digest = facts.get("sha256", facts.get("fingerprint", ""))
    return WeightsRecord(str(facts.get("source", "unknown")), str(digest), str(facts.get("licence", "")))
