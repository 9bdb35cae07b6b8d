"""From a data set to a bundle: features, head, golden frames, all written at once at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from csflow.calibration.metrics import GOOD
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.bundle.pictures import squeezed
from csflow.runtime.picture.images import image_size
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.cost import frame_line
from csflow.toolkit.backbones.weights import WeightsRecord, fingerprint, load_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.data.prepared import clipped_line, prepared_pictures
from csflow.toolkit.data.provenance import (
    FITTED,
    HELD_OUT,
    LEFT_OUT,
    file_hashes,
    identified,
    listing,
    training_record,
)
from csflow.toolkit.features import FeatureFiles, Plan, extract_features, features_key, open_features, rounded
from csflow.toolkit.forecast import duration, timed_picture
from csflow.toolkit.golden import EACH, evenly, golden_pictures, score_golden
from csflow.toolkit.methods.ignored import Ignored, places_line
from csflow.toolkit.methods.method import Fitted, Head, Learner, Shapes, Workplace, head_scores
from csflow.toolkit.methods.reporter import Reporter
from csflow.toolkit.methods.table import chosen_method
from csflow.toolkit.methods.unfinished import Unfinished
from csflow.toolkit.model import Model
from csflow.toolkit.options import checked
from csflow.toolkit.plan import SharedFeatures, TrainPlan
from csflow.toolkit.tensor_file import require_room

__all__ = ["train_model"]


def train_model(
    dataset: Dataset,
    path: Path,
    plan: TrainPlan,
    reporter: Reporter,
    fresh: bool = False,
    shared: SharedFeatures | None = None,
) -> Bundle:
    """Train on the good pictures of `dataset` and write the bundle `path`.

    Work in progress (features, checkpoint) lies in the directory `path` + ".training"; an interrupted training
    resumes from there. The bundle appears only when the training is done.

    Args:
        fresh: discard an unfinished training instead of resuming it.
        shared: where features lie, or are to lie, that other trainings read too; in `path` + ".training" unless given.

    Raises:
        DataError: the pictures cannot be used, or of the good ones over a tenth do not show the part to align.
        ConfigError: the backbone or its weights cannot be had, the method cannot work with its features, or the
            checkpoint is of another training.
        BundleError: `path` is no bundle or may not be written, or another training works for it.
        SinkError: there is no room for the features or the bundle.
    """
    Bundle.check_target(path)
    job = _Job.of(dataset, plan, path.with_name(path.name + ".training"), reporter)
    if line := squeezed(map(image_size, job.hashes), job.extraction.how):
        reporter.say(f"WARNING: {line}")
    if not fresh:
        job.unfinished.require_same()
    # Whatever can fail at the end is tried here: the pictures, their names, the place.
    defects = [(s.label, s.path) for s in dataset.test if s.label != GOOD]
    before, how = plan.start.bundle if plan.start else None, job.extraction.how
    training_images = listing(dataset.root, job.hashes, how.window, before)
    golden = golden_pictures(how, job.golden, defects)
    require_room(path, job.backbone.trunk, job.empty_head())
    with job.unfinished.alone():
        if fresh:
            job.discard_progress()
        if not job.progress.exists():
            reporter.say(job.forecast())
        job.unfinished.begin()
        job, learnt = job.learnt()
        features = job.features(shared)
        fitted = job.fit(features)
        scores_of, good_scores = job.good_scores(fitted, features)
        model = Model(job.backbone, fitted.head, dataclasses.replace(job.model, head=fitted.head.config))
        manifest = Manifest(
            job.extraction.how,
            plan.start.bundle.manifest.definitions if plan.start else model.definitions,
            model.config.to_mapping(),
            {**job.provenance(scores_of, dataset.set_aside), "fit": {**learnt, **fitted.facts}},
            {},
            model.method.name,
            model.graphs,
        )
        scored = score_golden(model, golden, good_scores)
        bundle = Bundle.create(path, manifest, {**model.weight_files(manifest.provenance), **scored, **training_images})
        job.discard_progress()
    return bundle


@dataclass(frozen=True)
class _Job:
    """One training: what it reads and where it works."""

    plan: TrainPlan
    model: ModelConfig
    """The plan's, settled."""
    shapes: Shapes
    work: Path
    reporter: Reporter
    device: torch.device
    backbone: Backbone
    record: WeightsRecord
    extraction: Plan
    kept: int
    """Pictures that are fitted; those that are held out come after them."""
    hashes: dict[Path, str]
    ignored: Ignored | None

    @classmethod
    def of(cls, dataset: Dataset, plan: TrainPlan, work: Path, reporter: Reporter) -> _Job:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        backbone, record = plan.backbone()
        shapes = backbone.shapes(plan.model.image_size)
        settled = checked(chosen_method(plan.model.method).settle, plan.model.head, shapes)
        model = dataclasses.replace(plan.model, head=settled)
        sizes = ", ".join("x".join(map(str, shape)) for shape in shapes)
        kind = "" if plan.model.backbone.precision == "fp32" else " in int8"
        reporter.say(f"backbone {plan.model.backbone.name}{kind} ({record.source}), features {sizes}, on {device}")
        found = plan.prepared(dataset.train)
        if found.told:
            reporter.say(found.told)
        how, kept, pictures = found.how, found.kept, (*found.kept, *found.held_out)
        if how.window is not None:
            reporter.say(clipped_line([sample.path for sample in pictures], how.window))
        extraction: Plan = checked(Plan, [sample.path for sample in pictures], how, plan.flips)
        ignored = Ignored.of(how, (image_size(sample.path) for sample in pictures), plan.flips)
        hashes = file_hashes(pictures)
        backbone = backbone.to(device)
        if plan.rounds:
            backbone = rounded(backbone, extraction, len(kept))
        if ignored is not None:
            reporter.say(places_line(ignored.kept(shapes, backbone.config.patches)))
        count = len(kept)
        return cls(plan, model, shapes, work, reporter, device, backbone, record, extraction, count, hashes, ignored)

    @property
    def places(self) -> tuple[Tensor, ...]:
        """The positions of each feature map that count; empty where all do."""
        return () if self.ignored is None else self.ignored.kept(self.shapes, self.backbone.config.patches)

    @property
    def key(self) -> str:
        return self._key(self.record, self.plan.model.backbone)

    def _key(self, record: WeightsRecord, backbone: BackboneConfig) -> str:
        hashes = list(self.hashes.values())
        weights = record.sha256 + (self.plan.start.bundle.weights_sha256 if self.plan.start else "")
        return features_key(hashes, weights, backbone, self.extraction.how, self.plan.flips)

    @property
    def golden(self) -> list[Path]:
        """The good pictures among the golden frames: held-out ones where there are enough, as a fit knows its own."""
        kept, held_out = self.extraction.paths[: self.kept], self.extraction.paths[self.kept :]
        return evenly(held_out if len(held_out) >= EACH else kept)

    @property
    def golden_rows(self) -> frozenset[int]:
        """The rows of features that are of them."""
        return self.extraction.rows_of({*self.golden} & {*self.extraction.paths[: self.kept]})

    @property
    def kept_samples(self) -> int:
        """Pictures that are fitted, or their tiles."""
        return self.extraction.samples(self.kept)

    @property
    def progress(self) -> Path:
        return self.work / "fit"

    def discard_progress(self) -> None:
        shutil.rmtree(self.progress, ignore_errors=True)

    def empty_head(self) -> Head:
        with torch.device("meta"):
            return chosen_method(self.model.method).head(self.model.head, self.shapes)

    def features(self, shared: SharedFeatures | None) -> FeatureFiles:
        return dataclasses.replace(self._all_features(shared), kept=self.places)

    def _all_features(self, shared: SharedFeatures | None) -> FeatureFiles:
        if shared is None or self.model.backbone.patches:
            return self._features(self.work / "features", self.backbone, self.key)
        backbone, record = load_backbone(shared.backbone.unrounded, self.plan.weights)
        backbone = backbone.to(self.device)
        if shared.backbone.precision == "int8":
            backbone = rounded(backbone, self.extraction, self.kept)
        found = self._features(shared.folder, backbone, self._key(record, shared.backbone))
        return found.chosen(self.model.backbone.places_in(shared.backbone))

    def _features(self, folder: Path, backbone: Backbone, key: str) -> FeatureFiles:
        count = self.extraction.samples()
        found = open_features(folder, key)
        if found is not None:
            self.reporter.say(f"features of {count} pictures taken from {folder}")
            return found
        size = self.extraction.size(backbone.shapes(self.plan.model.image_size))
        self.reporter.say(f"features of {count} pictures will take {size / 1e6:,.0f} MB in {folder}")
        self.reporter.say(frame_line(backbone, self.plan.model.image_size))
        with self.reporter.images(count) as advance:
            return extract_features(backbone, self.extraction, folder, key, advance)

    def fit(self, features: FeatureFiles) -> Fitted:
        """Of the pictures that are not held out; these watch."""
        model, training = self.model, self.plan.training
        return chosen_method(model.method).fit(
            features.part(0, self.kept_samples), model.head, training, self.workplace(features)
        )

    def unseen(self, features: FeatureFiles) -> FeatureFiles:
        """What is held out."""
        return features.part(self.kept_samples, features.pictures)

    @property
    def unfinished(self) -> Unfinished:
        """Progress in the folder, and the settings that it must be of."""
        model, training = self.model.to_mapping(), schema.to_mapping(self.plan.training)
        parts = [self.key, self.kept, self.model.method, model, training]
        hashes = {"pictures": list(self.hashes.values()), "backbone weights": self.record.sha256}
        settings = {
            **{name: hashlib.sha256(schema.dump_json(value)).hexdigest() for name, value in hashes.items()},
            "method": self.model.method,
            "flips": self.plan.flips,
            "hold out": self.plan.hold_out,
            **schema.to_mapping(self.extraction.how),
            **model,
            **training,
        }
        return Unfinished(self.progress, hashlib.sha256(schema.dump_json(parts)).hexdigest(), settings)

    def workplace(self, features: FeatureFiles | None = None) -> Workplace:
        identity = self.unfinished.fingerprint
        unseen = self.unseen(features) if features and self.kept < len(self.extraction.paths) else None
        say, epochs = self.reporter.say, self.reporter.epochs
        start = self.plan.start.model.head if self.plan.start else None
        golden, ignored = self.golden_rows, self.ignored
        return Workplace(self.progress, identity, self.device, epochs, unseen, say, golden, start, ignored)

    def forecast(self) -> str:
        """How long it will take, in words, from two pictures and two steps."""
        count = self.extraction.samples() * self.extraction.variants
        features_s = count * timed_picture(self.backbone, self.plan.model.image_size)
        method, training = chosen_method(self.model.method), self.plan.training
        fit_s = method.seconds(self.model.head, training, self.shapes, self.kept_samples, self.device)
        fit = "and the fit" if fit_s is None else f"and {duration(fit_s)} for {training.epochs} epochs"
        return f"expect about {duration(features_s)} for the features of {count} pictures {fit}; Ctrl-C loses nothing"

    def learnt(self) -> tuple[_Job, Mapping[str, float]]:
        """This job with the backbone that its method has trained, where it trains one, and what that says of itself."""
        method = chosen_method(self.model.method)
        if self.plan.start or not (isinstance(method, Learner) and method.learns(self.model.head)):
            return self, {}
        paths, file = self.extraction.paths[: self.kept], self.progress / "pictures.raw"
        with self.reporter.images(len(paths)) as advance:
            pictures = prepared_pictures(paths, self.extraction.how, file, advance)
        facts = method.learn(self.backbone, pictures, self.plan.training, self.workplace())
        record = WeightsRecord(f"{self.record.source}, trained", fingerprint(self.backbone.cpu()))
        return dataclasses.replace(self, backbone=self.backbone.to(self.device), record=record), facts

    def provenance(self, scores_of: str, set_aside: int) -> dict[str, object]:
        """For the manifest: what made the model."""
        held_out = len(self.hashes) - self.kept
        how = {**schema.to_mapping(self.plan.training), "flips": self.plan.flips}
        return {
            "backbone_weights": self.record.facts(),
            **training_record(self.hashes, how, held_out, scores_of, set_aside),
            **({"adapted_from": identified(self.plan.start.bundle)} if self.plan.start else {}),
        }

    def good_scores(self, fitted: Fitted, features: FeatureFiles) -> tuple[str, Sequence[float]]:
        """Scores of good pictures, as near to those of new parts as they can be had, and whose they are."""
        if self.kept < len(self.extraction.paths):
            return HELD_OUT, head_scores(fitted.head, self.unseen(features), self.device)
        if fitted.good_scores:
            return LEFT_OUT, fitted.good_scores
        return FITTED, head_scores(fitted.head, features, self.device)
