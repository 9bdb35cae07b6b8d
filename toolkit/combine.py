"""Several trained bundles over one backbone to one: their judgements standardised by unseen good parts, and joined."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csflow.calibration.pictures import check_sizes, find_pictures, refuse_seen
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.bundle.pictures import PictureSizes, knows_training, picture_sizes
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.preprocess import pieces_of_file
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.alignment import lost_words, without_part
from csflow.toolkit.data.provenance import FITTED, HELD_OUT, LEFT_OUT, identified, listing_of_bundles, made_now
from csflow.toolkit.golden import score_golden
from csflow.toolkit.methods.combined import CombinedConfig, CombinedHead, MemberConfig
from csflow.toolkit.methods.ignored import kept_masks
from csflow.toolkit.methods.reporter import Reporter
from csflow.toolkit.methods.table import METHODS
from csflow.toolkit.model import Model
from csflow.toolkit.options import checked

__all__ = ["FEWEST", "Combination", "combine"]

FEWEST = 10
"""Pictures that a spread is taken from, at least: of ten it is known to within a quarter."""
SETTINGS = {
    "image_size": "--image-size",
    "roi": "--roi or --region",
    "ignore": "ignored areas in --region",
    "window": "--window",
    "align": "--align on the same pictures, so with the same --hold-out too",
    "tiles": "--tile and --overlap",
}
"""What `csflow train` sets a field of `Preprocessing` by; of the others, nothing."""
Spread = tuple[float, float]


@dataclass(frozen=True)
class Combination:
    """How judgements are joined."""

    rule: str = "mean"
    """'mean' or 'maximum' of the standardised scores, and of the maps."""
    maps: tuple[int, ...] | None = None
    """Bundles whose maps are joined, counted from 0; None is all of them."""
    good: tuple[Path, ...] = ()
    """Pictures or folders of good parts that no bundle was trained on, whose scores standardise. Empty: what the
    bundles recorded of unseen good parts."""


def combine(bundles: Sequence[Bundle], path: Path, how: Combination, reporter: Reporter) -> Bundle:
    """Write the bundle `path`: one backbone, the head of each of `bundles`, and a graph that joins them.

    It has neither thresholds nor graphs yet. Pictures that standardise count as pictures of its training, so that no
    threshold is taken from them.

    Raises:
        ConfigError: fewer than two bundles, one that is combined itself or is `path`, bundles of different backbones
            or preprocessing, a rule or map that there is not, or no spread of unseen good parts.
        DataError, CalibrationError: good pictures are too few, score alike, cannot be read, were trained on, or more
            than a tenth of them do not show the part that the bundles align by. Fewer are left out, and told.
        BundleError, BundleCorrupted: a bundle is not whole, or `path` exists and is no bundle.
    """
    Bundle.check_target(path)
    if path.resolve() in {bundle.path.resolve() for bundle in bundles}:
        raise ConfigError(f"{path} is one of the bundles to be combined: name another with --bundle")
    models = [Model.load(bundle) for bundle in bundles]
    _require_alike(bundles, models)
    pictures = _pictures(bundles, how.good, reporter)
    head = _head(bundles, models, how)
    config = replace(
        models[0].config,
        backbone=BackboneConfig.reading_all(model.config.backbone for model in models),
        method="combined",
        head=head.config,
    )
    model = Model(_backbone(models, config), head, config)
    if pictures:
        with reporter.images(len(pictures)) as advance:
            scores = _member_scores(model, pictures, bundles[0], advance)
        head.join.set([_spread(values, str(bundle.path)) for values, bundle in zip(scores, bundles, strict=True)])
        good_scores = head.join.scores([torch.tensor(values) for values in scores]).tolist()
    else:
        centre, spread = head.join.set([_recorded(bundle) for bundle in bundles])
        # Two numbers with the mean and the deviation that independent members would have; alike ones vary more.
        good_scores = [centre - spread, centre + spread]
    return _written(bundles, path, model, pictures, good_scores)


def _require_alike(bundles: Sequence[Bundle], models: Sequence[Model]) -> None:
    if len(bundles) < 2:
        raise ConfigError("one bundle is no combination: name at least two")
    paths = [bundle.path.resolve() for bundle in bundles]
    if twice := [bundle.path for bundle, path in zip(bundles, paths, strict=True) if paths.count(path) > 1]:
        raise ConfigError(f"{twice[0]} is named twice: joined with itself it decides as it does alone")
    first, trunk = models[0], models[0].backbone
    for bundle, model in zip(bundles, models, strict=True):
        if model.config.method not in METHODS:
            raise ConfigError(f"{bundle.path} is a combination itself: name the bundles that it was made from")
        ours, theirs = bundle.manifest.preprocessing, bundles[0].manifest.preprocessing
        if other := [field.name for field in fields(ours) if getattr(ours, field.name) != getattr(theirs, field.name)]:
            options = ", ".join(dict.fromkeys(SETTINGS.get(name, "this version of csflow") for name in other))
            raise ConfigError(
                f"{bundle.path} prepares pictures in another way than {bundles[0].path}: train both with the same "
                + options
            )
        if bool(kept_masks(model.head)) != bool(kept_masks(models[0].head)):
            raise ConfigError(
                f"of {bundles[0].path} and {bundle.path} one counts the ignored areas in its scores, as csflow did in "
                "earlier versions, the other does not: train both again"
            )
        alike = model.config.backbone.reads_like(first.config.backbone)
        if not alike or not _same_weights(trunk, model.backbone):
            raise ConfigError(
                f"{bundle.path} has another backbone than {bundles[0].path} ({model.config.backbone.name}, "
                f"{first.config.backbone.name}, or other weights of it): train both with the same --backbone, "
                "--backbone-weights and --padding"
            )


def _same_weights(one: Backbone, other: Backbone) -> bool:
    """Whether the layers that both have are the same; one may end before the other."""
    known, others = one.trunk.state_dict(), other.trunk.state_dict()
    return all(torch.equal(known[name], others[name]) for name in known.keys() & others.keys())


def _backbone(models: Sequence[Model], config: ModelConfig) -> Backbone:
    """With the weights of the member that reads deepest."""
    backbone = build_backbone(config.backbone)
    deepest = max(models, key=lambda model: model.config.backbone.stages[-1])
    backbone.trunk.load_state_dict(deepest.backbone.trunk.state_dict())
    return backbone


def _head(bundles: Sequence[Bundle], models: Sequence[Model], how: Combination) -> CombinedHead:
    union = BackboneConfig.reading_all(model.config.backbone for model in models)
    members: list[MemberConfig] = []
    for model in models:
        graph = model.method.graph
        if graph in {member.graph for member in members}:
            graph = f"{graph}_{len(members) + 1}"
        features = model.config.backbone.places_in(union)
        members.append(MemberConfig(model.config.method, graph, features, schema.to_mapping(model.config.head)))
    maps = tuple(range(len(bundles))) if how.maps is None else how.maps
    if not {*maps} <= {*range(len(bundles))}:
        raise ConfigError(f"the maps of {len(bundles)} bundles are counted from 1 to {len(bundles)}")
    config = checked(CombinedConfig, tuple(members), how.rule, maps)
    head = CombinedHead(config, [model.head for model in models])
    head.ignore_as_members()
    return head.requires_grad_(False).eval()


def _pictures(bundles: Sequence[Bundle], good: Sequence[Path], reporter: Reporter) -> list[Path]:
    if not good:
        return []
    pictures = _enough(find_pictures(good))
    for bundle in bundles:
        check_sizes(bundle, pictures)
        refuse_seen(bundle, pictures)
    lost = without_part(bundles[0].manifest.preprocessing, pictures)
    if told := lost_words([path for path in pictures if path in lost], len(pictures)):
        reporter.say(told)
    return _enough([path for path in pictures if path not in lost])


def _enough(pictures: list[Path]) -> list[Path]:
    if len(pictures) < FEWEST:
        raise DataError(f"{len(pictures)} good pictures do not tell how scores spread: bring at least {FEWEST}")
    return pictures


@torch.inference_mode()
def _member_scores(
    model: Model, pictures: Sequence[Path], bundle: Bundle, progress: Callable[[int], None]
) -> list[list[float]]:
    """The scores of each member, by member, of the pictures or of their tiles."""
    head = model.head
    assert isinstance(head, CombinedHead)
    found: list[list[float]] = [[] for _ in head.heads]
    for picture in pictures:
        for piece in pieces_of_file(picture, bundle.manifest.preprocessing):
            scores: list[Tensor] = head.judged(model.backbone(torch.from_numpy(piece[None])))[::2]
            for values, score in zip(found, scores, strict=True):
                values.append(float(score))
        progress(1)
    return found


def _spread(scores: Sequence[float], where: str) -> Spread:
    deviation = statistics.pstdev(scores)
    if not deviation > 0.0:
        raise DataError(f"{where} gives all good pictures one score: bring pictures of different parts")
    return statistics.fmean(scores), deviation


def _recorded(bundle: Bundle) -> Spread:
    training: Any = bundle.manifest.provenance.get("training", {})
    whose = training.get("good_scores", FITTED) if isinstance(training, dict) else FITTED
    spread = load_golden(bundle).spread
    if whose not in (HELD_OUT, LEFT_OUT) or spread is None:
        raise ConfigError(
            f"{bundle.path} recorded no scores of good parts that it was not fitted to: name a folder of such pictures "
            "with --good, or train it with --hold-out 0.1"
        )
    return spread


def _written(
    bundles: Sequence[Bundle], path: Path, model: Model, pictures: Sequence[Path], good_scores: Sequence[float]
) -> Bundle:
    # The golden frames of an import show another product.
    own = next((bundle for bundle in bundles if "imported" not in bundle.manifest.provenance), bundles[0])
    manifest = Manifest(
        own.manifest.preprocessing,
        model.method.definitions,
        model.config.to_mapping(),
        _provenance(bundles, own, model, len(pictures)),
        {},
        model.method.name,
        model.graphs,
    )
    golden = [(expected.label, frame.image) for frame, expected in load_golden(own)]
    files = {
        **model.weight_files(manifest.provenance),
        **score_golden(model, golden, good_scores),
        **listing_of_bundles(bundles, pictures),
    }
    return Bundle.create(path, manifest, files)


def _provenance(bundles: Sequence[Bundle], own: Bundle, model: Model, pictures: int) -> dict[str, Any]:
    known = [bundle for bundle in bundles if knows_training(bundle)]
    sizes = [found for bundle in known if (found := picture_sizes(bundle)) is not None]
    training = {"pictures": schema.to_mapping(PictureSizes.joined(sizes))} if sizes else {}
    own_facts = own.manifest.provenance
    inherited: dict[str, Any] = {key: own_facts[key] for key in ("imported", "backbone_weights") if key in own_facts}
    assert isinstance(model.head, CombinedHead)
    factors = zip(model.graphs[1:], model.head.join.get_buffer("factor").tolist(), strict=False)
    return {
        **made_now(),
        **inherited,
        "training": {**training, "standardised_by": pictures},
        "members": [identified(bundle) for bundle in bundles],
        "fit": {f"factor of {graph}": factor for graph, factor in factors},
    }
