"""Choosing a method and its options without defective parts: by made defects in good pictures that are held out.

A fifth of the good pictures is held out. Each candidate is fitted to the others and scores the held-out pictures as
they are and with defects made in them (`made_defects`): its image AUROC is what it is judged by. Of tiles a few of each
picture are scored.
The best is not always the one to take: of those that a paired bootstrap cannot tell from it, the first named is chosen,
so candidates are named in the order of preference. No test picture is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.paired import Paired, paired
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.images import image_size
from csflow.runtime.picture.preprocess import pieces_of_file
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.weights import load_backbone
from csflow.toolkit.choosing.made_defects import KINDS, made_defect
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.features import FeatureFiles, Plan, extract_features, rounded
from csflow.toolkit.methods.ignored import Ignored
from csflow.toolkit.methods.method import Head, Learner, Workplace, head_scores
from csflow.toolkit.methods.reporter import Reporter
from csflow.toolkit.methods.table import chosen_method
from csflow.toolkit.options import checked
from csflow.toolkit.plan import TrainPlan

__all__ = ["FEWEST", "Candidate", "Choice", "choose"]

HOLD_OUT = 0.2
FEWEST = 10
"""Pictures that are held out, at least: with fewer, no two candidates could be told apart."""
EACH = 200
"""Made defects, about."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Candidate:
    """One that could be trained."""

    method: str
    """As it was named, with its options."""
    plan: TrainPlan


@dataclass(frozen=True)
class Choice:
    """What was chosen, and by what."""

    chosen: Candidate
    aurocs: tuple[tuple[str, float], ...]
    """(method, image AUROC against made defects), in the order of the candidates."""
    behind: Paired
    """The chosen one against the best."""

    def lines(self) -> list[str]:
        """For a terminal."""
        width = max(len(method) for method, _ in self.aurocs)
        told = [f"  {method:<{width}}  {auroc:.4f}" for method, auroc in self.aurocs]
        gap = f"{self.behind.difference:+.4f} [{self.behind.low:+.4f}, {self.behind.high:+.4f}]"
        return [
            "image AUROC of made defects against good pictures held out:",
            *told,
            f"chosen: {self.chosen.method}, the first named that cannot be told from the best ({gap})",
        ]


def choose(dataset: Dataset, candidates: Sequence[Candidate], work: Path, reporter: Reporter) -> Choice:
    """Judge the candidates, which differ in nothing but method, options and what is read of the backbone.

    Args:
        work: folder for features and progress, new and empty.

    Raises:
        DataError: fewer than `FEWEST` pictures would be held out, or one cannot be read.
        ConfigError: a candidate that trains its network, and as `csflow.toolkit.train_model.train_model` does.
        SinkError: as that does.
    """
    _require_frozen(candidates)
    plan = candidates[0].plan
    found = plan.prepared(dataset.train, HOLD_OUT)
    how, kept, held_out = found.how, found.kept, found.held_out
    if found.told:
        reporter.say(found.told)
    if len(held_out) < FEWEST:
        raise DataError(
            f"of {len(dataset.train)} good pictures, {len(held_out)} would be held out, and {FEWEST} are needed to "
            "choose by: bring more, or name one --method"
        )
    ignored = Ignored.of(how, (image_size(sample.path) for sample in kept), plan.flips)
    good = [piece for sample in held_out for piece in pieces_of_file(sample.path, how).some()]
    shown = _write([*good, *_made(good)], work / "shown")
    # What is shown is prepared already.
    read = _Reading(
        plan.weights, Plan([s.path for s in kept], how, plan.flips), Plan(shown, Preprocessing(how.image_size))
    )
    whole = [candidate.plan.model.backbone for candidate in candidates if not candidate.plan.model.backbone.patches]
    wide = BackboneConfig.reading_all(whole) if whole else None
    shared = read.by(wide, work / "features", reporter) if wide else None
    scores = []
    for i, candidate in enumerate(candidates):
        reporter.say(f"{candidate.method}:")
        own = candidate.plan.model.backbone
        if wide and shared and not own.patches:
            fitted, judged = (features.chosen(own.places_in(wide)) for features in shared)
        else:
            fitted, judged = read.by(own, work / f"features_{i}", reporter)
        head = _fitted(candidate, fitted, work / f"fit_{i}", reporter, ignored)
        scores.append(head_scores(head, judged, DEVICE))
    return _choice(candidates, scores, [i < len(good) for i in range(len(shown))])


def _require_frozen(candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        method = chosen_method(candidate.plan.model.method)
        if isinstance(method, Learner) and method.learns(candidate.plan.model.head):
            raise ConfigError(
                f"{candidate.method} trains its own network, whose features it would have to be judged by: leave it "
                "out of the candidates, and judge it by csflow compare"
            )


@dataclass(frozen=True)
class _Reading:
    """What candidates are fitted to and judged by; those that read patches see no whole pictures."""

    weights: str
    kept: Plan
    shown: Plan

    def by(self, config: BackboneConfig, folder: Path, reporter: Reporter) -> tuple[FeatureFiles, FeatureFiles]:
        """Features of both, by a backbone that is rounded as a training would."""
        backbone, _ = load_backbone(config.unrounded, self.weights)
        backbone = backbone.to(DEVICE)
        if config.precision == "int8":
            backbone = rounded(backbone, self.kept, len(self.kept.paths))
        return (
            _features(backbone, self.kept, folder / "kept", reporter),
            _features(backbone, self.shown, folder / "judged", reporter),
        )


def _choice(candidates: Sequence[Candidate], scores: Sequence[Sequence[float]], is_good: Sequence[bool]) -> Choice:
    aurocs = [paired(values, values, is_good, draws=1).first for values in scores]
    best = scores[int(np.argmax(aurocs))]
    against = [paired(values, best, is_good) for values in scores]
    first = next(i for i, found in enumerate(against) if found.high >= 0.0)
    named = tuple((candidate.method, auroc) for candidate, auroc in zip(candidates, aurocs, strict=True))
    return Choice(candidates[first], named, against[first])


def _made(good: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """About `EACH` pictures with made defects, at least one of each kind from every good one, the same every time."""
    draw = np.random.default_rng(0)
    rounds = max(1, round(EACH / (len(good) * len(KINDS))))
    return [
        made_defect(picture, good[(i + 1 + int(draw.integers(len(good) - 1))) % len(good)], kind, draw)
        for _ in range(rounds)
        for i, picture in enumerate(good)
        for kind in KINDS
    ]


def _write(pictures: Sequence[NDArray[np.uint8]], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05d}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path, compress_level=1)
    return paths


def _features(backbone: Backbone, plan: Plan, folder: Path, reporter: Reporter) -> FeatureFiles:
    size = plan.size(backbone.shapes(plan.how.image_size))
    count = plan.samples()
    reporter.say(f"features of {count} pictures will take {size / 1e6:,.0f} MB in {folder}")
    with reporter.images(count) as advance:
        return extract_features(backbone, plan, folder, "", advance)


def _fitted(
    candidate: Candidate, features: FeatureFiles, folder: Path, reporter: Reporter, ignored: Ignored | None
) -> Head:
    model = candidate.plan.model
    if ignored is not None:
        features = replace(features, kept=ignored.kept(features.shapes, model.backbone.patches))
    method = chosen_method(model.method)
    config = checked(method.settle, model.head, features.shapes)
    work = Workplace(folder, candidate.method, DEVICE, reporter.epochs, ignored=ignored)
    return method.fit(features, config, candidate.plan.training, work).head
