"""From a data set to a bundle: features, flow, golden frames, all written at once at the end."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import SinkError
from csflow.toolkit.backbones.efficientnet import Backbone
from csflow.toolkit.backbones.weights import WeightsRecord, load_backbone
from csflow.toolkit.config import ModelConfig, TrainConfig, checked
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.data.provenance import file_hashes, listing, training_record
from csflow.toolkit.features import FLIPS, cached_features, extract_features, features_key
from csflow.toolkit.golden import golden_pictures, score_golden
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.flow.coupling import Features
from csflow.toolkit.methods.flow.training import new_flow, train_flow
from csflow.toolkit.model import weight_files

__all__ = ["Reporter", "Silent", "TrainPlan", "train_model"]


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
    """As `csflow.toolkit.backbones.weights.load_backbone` takes it."""
    flips: str = "none"
    """Mirror images added to the training: one of `csflow.toolkit.features.FLIPS`."""
    roi: tuple[int, int, int, int] | None = None
    """Region of interest (x, y, width, height) in pixels of the pictures; None is the whole picture."""
    ignore: tuple[tuple[int, int, int, int], ...] = ()
    """Rectangles (x, y, width, height) in pixels of the pictures that the model is never to see."""


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
        BundleError: `path` exists and is no bundle, or may not be written.
        SinkError: there is no room for the bundle.
    """
    Bundle.check_target(path)
    checked(_check_flips, plan.flips)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone, record = load_backbone(plan.model.backbone, plan.weights)
    flow_config = dataclasses.replace(plan.model.flow, channels=backbone.channels)
    model = checked(dataclasses.replace, plan.model, flow=flow_config)
    reporter.say(f"backbone {model.backbone.name} ({record.source}), {backbone.channels} channels, on {device}")
    how: Preprocessing = checked(Preprocessing, model.image_size, plan.roi, ignore=plan.ignore)
    hashes = file_hashes(dataset.train)
    key = features_key(list(hashes.values()), record.sha256, model.backbone, how, plan.flips)
    # Whatever can fail at the end is tried here: the pictures, their names, the place.
    golden, training_images = _golden(dataset, how), listing(dataset.root, hashes)
    work = path.with_name(path.name + ".training")
    flow = new_flow(flow_config, plan.train.seed)
    _check_room(path, backbone, flow)
    paths = [sample.path for sample in dataset.train]
    features = _features(paths, backbone.to(device), how, plan.flips, work / "features.safetensors", key, reporter)
    flow.fit_standardisation(features)
    checkpoint = Checkpoint(work / "checkpoint.safetensors", _fingerprint(key, model, plan.train))
    if fresh:
        checkpoint.discard()
    with reporter.epochs(plan.train.epochs) as on_epoch:
        variants = features[0].shape[0] // len(paths)
        losses = train_flow(flow.to(device), features, variants, plan.train, checkpoint, on_epoch)
    provenance = _provenance(plan, record, training_record(hashes), losses[-1])
    manifest = Manifest(how, Definitions(), schema.to_mapping(model), provenance, {})
    files = {**weight_files(backbone, flow), **score_golden(backbone, flow, golden), **training_images}
    bundle = Bundle.create(path, manifest, files)
    checkpoint.discard()
    return bundle


def _features(
    paths: Sequence[Path],
    backbone: Backbone,
    how: Preprocessing,
    flips: str,
    cache: Path,
    key: str,
    reporter: Reporter,
) -> Features:
    def extract() -> Features:
        with reporter.images(len(paths)) as advance:
            return extract_features(backbone, paths, how, flips, advance)

    features, cached = cached_features(cache, key, extract)
    if cached:
        reporter.say(f"features of {len(paths)} pictures taken from {cache}")
    return features


def _fingerprint(features: str, model: ModelConfig, train: TrainConfig) -> str:
    body = schema.dump_json([features, schema.to_mapping(model), schema.to_mapping(train)])
    return hashlib.sha256(body).hexdigest()


def _golden(dataset: Dataset, how: Preprocessing) -> list[tuple[str, NDArray[np.uint8]]]:
    defects = [(s.label, s.path) for s in dataset.test if s.label != GOOD]
    return golden_pictures(how, [s.path for s in dataset.train], defects)


def _check_room(path: Path, *modules: torch.nn.Module) -> None:
    needed = sum(t.numel() * t.element_size() for module in modules for t in module.state_dict().values())
    free = shutil.disk_usage(next(p for p in path.absolute().parents if p.exists())).free
    if free < needed:
        raise SinkError(
            f"the bundle needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free where {path} is to be: free space, "
            "or name another place with --bundle"
        )


def _provenance(plan: TrainPlan, record: WeightsRecord, pictures: dict[str, object], loss: float) -> dict[str, object]:
    return {
        "csflow": version("csflow"),
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "backbone_weights": {"source": record.source, "sha256": record.sha256},
        "training": {**schema.to_mapping(plan.train), "flips": plan.flips, **pictures},
        "loss": loss,
    }


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
