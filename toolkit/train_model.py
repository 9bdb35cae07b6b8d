"""From a data set to a bundle: features, flow, golden frames, all written at once at the end."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import torch

from csflow.runtime import schema
from csflow.runtime.bundle import Bundle
from csflow.runtime.errors import DataError
from csflow.runtime.manifest import Definitions, Manifest, Preprocessing
from csflow.toolkit.backbone import Backbone
from csflow.toolkit.checkpoint import Checkpoint
from csflow.toolkit.config import ModelConfig, TrainConfig, checked
from csflow.toolkit.coupling import Features
from csflow.toolkit.data import GOOD, Dataset, Sample
from csflow.toolkit.features import FLIPS, cached_features, extract_features, features_key
from csflow.toolkit.flow import CrossScaleFlow
from csflow.toolkit.golden import golden_files
from csflow.toolkit.model_io import weight_files
from csflow.toolkit.training import new_flow, train_flow
from csflow.toolkit.weights import WeightsRecord, load_backbone

__all__ = ["TRAINING_IMAGES", "Reporter", "Silent", "TrainPlan", "train_model"]

TRAINING_IMAGES = "provenance/training_images.json"


class Reporter(Protocol):
    """Where a training says what it does."""

    def say(self, line: str) -> None:
        """One line of text."""

    def images(self, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar over pictures; the callable advances it."""

    def epochs(self, total: int) -> AbstractContextManager[Callable[[int, float], None]]:
        """A bar over epochs; the callable takes the number done and the last loss."""


@dataclass(frozen=True)
class TrainPlan:
    """Everything that determines a trained model but the pictures."""

    model: ModelConfig
    train: TrainConfig
    weights: str = "auto"
    """As `csflow.toolkit.weights.load_backbone` takes it."""
    flips: str = "none"
    """Mirror images added to the training: one of `csflow.toolkit.features.FLIPS`."""


def train_model(dataset: Dataset, path: Path, plan: TrainPlan, reporter: Reporter, fresh: bool = False) -> Bundle:
    """Train on the good pictures of `dataset` and write the bundle `path`.

    Work in progress (cached features, checkpoint) lies in the directory `path` + ".training"; an interrupted
    training resumes from there. The bundle appears only when the training is done.

    Args:
        plan: its flow's channel count is replaced by the backbone's.
        fresh: discard an unfinished training instead of resuming it.

    Raises:
        DataError: the pictures cannot be used.
        ConfigError: the backbone or its weights cannot be had, or the checkpoint is of another training.
        BundleError: `path` exists and is no bundle.
    """
    Bundle.check_target(path)
    checked(_check_flips, plan.flips)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone, record = load_backbone(plan.model.backbone, plan.weights)
    flow_config = dataclasses.replace(plan.model.flow, channels=backbone.channels)
    model = checked(dataclasses.replace, plan.model, flow=flow_config)
    reporter.say(f"backbone {model.backbone.name} ({record.source}), {backbone.channels} channels, on {device}")
    hashes = _hashes(dataset.train)
    work = path.with_name(path.name + ".training")
    features, variants = _features(dataset.train, hashes, backbone.to(device), record, model, plan, work, reporter)
    flow = new_flow(flow_config, plan.train.seed)
    flow.fit_standardisation(features)
    key = features_key(list(hashes.values()), record.sha256, model.backbone, model.image_size, plan.flips)
    checkpoint = Checkpoint(work / "checkpoint.safetensors", _fingerprint(key, model, plan.train))
    if fresh:
        checkpoint.discard()
    with reporter.epochs(plan.train.epochs) as on_epoch:
        losses = train_flow(flow.to(device), features, variants, plan.train, checkpoint, on_epoch)
    bundle = _write(path, dataset, model, plan, backbone, flow, record, hashes, losses)
    checkpoint.discard()
    return bundle


def _features(
    samples: Sequence[Sample],
    hashes: dict[str, str],
    backbone: Backbone,
    record: WeightsRecord,
    model: ModelConfig,
    plan: TrainPlan,
    work: Path,
    reporter: Reporter,
) -> tuple[Features, int]:
    key = features_key(list(hashes.values()), record.sha256, model.backbone, model.image_size, plan.flips)

    def extract() -> Features:
        with reporter.images(len(samples)) as advance:
            return extract_features(backbone, [s.path for s in samples], model.image_size, plan.flips, advance)

    features, cached = cached_features(work / "features.safetensors", key, extract)
    if cached:
        reporter.say(f"features of {len(samples)} pictures taken from {work / 'features.safetensors'}")
    return features, features[0].shape[0] // len(samples)


def _hashes(samples: Sequence[Sample]) -> dict[str, str]:
    hashes = {}
    for sample in samples:
        try:
            hashes[str(sample.path.name)] = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"cannot read {sample.path}: {error.strerror}") from None
    return hashes


def _fingerprint(features: str, model: ModelConfig, train: TrainConfig) -> str:
    body = schema.dump_json([features, schema.to_mapping(model), schema.to_mapping(train)])
    return hashlib.sha256(body).hexdigest()


def _write(
    path: Path,
    dataset: Dataset,
    model: ModelConfig,
    plan: TrainPlan,
    backbone: Backbone,
    flow: CrossScaleFlow,
    record: WeightsRecord,
    hashes: dict[str, str],
    losses: list[float],
) -> Bundle:
    how = Preprocessing(model.image_size)
    good = [s.path for s in dataset.calibration or dataset.train]
    defects = [(s.label, s.path) for s in dataset.test if s.label != GOOD]
    files = {
        **weight_files(backbone, flow),
        **golden_files(backbone, flow, how, good, defects),
        TRAINING_IMAGES: schema.dump_json({"files": hashes}),
    }
    provenance = {
        "csflow": version("csflow"),
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "backbone_weights": {"source": record.source, "sha256": record.sha256},
        "training": {**schema.to_mapping(plan.train), "flips": plan.flips, "images": len(hashes)},
        "loss": losses[-1],
    }
    return Bundle.create(path, Manifest(how, Definitions(), schema.to_mapping(model), provenance, {}), files)


def _check_flips(flips: str) -> None:
    if flips not in FLIPS:
        raise ValueError(f"flips must be one of {', '.join(FLIPS)}")


@contextmanager
def _nothing(_total: int) -> Iterator[Callable[..., None]]:
    yield lambda *_: None


class Silent:
    """A reporter that says nothing, for use as a library."""

    def say(self, line: str) -> None:
        """Drop the line."""

    images = staticmethod(_nothing)
    epochs = staticmethod(_nothing)
