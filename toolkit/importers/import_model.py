"""From a file of another code base to a bundle that scores as its origin did."""

from __future__ import annotations

import datetime
import hashlib
import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import ConfigError
from csflow.runtime.synthetic.product import DEFECTS, render_part
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.weights import WeightsRecord, fill_backbone, fingerprint, load_backbone
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.golden import score_golden
from csflow.toolkit.importers.anomalib import ORIGINS, is_anomalib, read_anomalib
from csflow.toolkit.importers.archive import TorchFile
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.foreign import ForeignModel
from csflow.toolkit.importers.reference import is_reference, read_reference
from csflow.toolkit.importers.transforms import Colour
from csflow.toolkit.importers.unpickler import DAMAGE
from csflow.toolkit.methods.flow.flow import FlowHead
from csflow.toolkit.model import Model
from csflow.toolkit.options import checked

__all__ = ["SOURCES", "ImportPlan", "Imported", "import_model", "read_foreign"]

T = TypeVar("T")
SOURCES = ("auto", "reference", "anomalib", *ORIGINS)
CHANNELS, OTHER_BLOCK = 304, 512
ARCHITECTURE = "tf_efficientnet_b5"
PIP_PADDING = "lm071"
"""What `pip install efficientnet_pytorch` has given since 2021-04: the most likely origin of reference models."""


@dataclass(frozen=True)
class ImportPlan:
    """What the user states about a file; None and 'auto' mean: find out."""

    source: str = "auto"
    """One of SOURCES."""
    weights: str = "auto"
    """Backbone weights: 'auto' (the checkpoint's own where it has some, else the hub), 'hub', or a file."""
    padding: str | None = None
    """Padding convention of the origin's backbone, one of `csflow.toolkit.backbones.config.PADDINGS` but 'timm'."""
    image_size: int | None = None
    """Side of the model input in pixels."""
    clamp: float | None = None
    """alpha of the couplings."""
    mean: Colour | None = None
    """Subtracted from RGB in 0..1 before the backbone, per channel."""
    std: Colour | None = None
    """Divides after the mean."""


@dataclass(frozen=True)
class Imported:
    """The bundle that was written, and what the user should know about it."""

    bundle: Bundle
    lines: list[str]
    """In words: what was found, what was assumed, what to do next."""


def import_model(file: Path, path: Path, plan: ImportPlan) -> Imported:
    """Read a CS-Flow model of the authors' code or of anomalib and write the bundle `path`.

    Raises:
        ImportRefused: the file cannot be imported exactly; the message says why.
        ConfigError: an option contradicts the file, or backbone weights cannot be had.
        BundleError: `path` exists and is no bundle.
        OSError: as the file system does.
    """
    Bundle.check_target(path)
    foreign = read_foreign(file, plan)
    _check_channels(foreign.flow.config.channels)
    config = _configuration(foreign, plan)
    backbone, record = _backbone(foreign, config.backbone, plan, file)
    _check_finite(backbone)
    model = Model(backbone, FlowHead(foreign.flow, foreign.anomaly_map), config)
    definitions = Definitions(anomaly_map=foreign.anomaly_map)
    provenance = _provenance(file, foreign, config, record)
    files = {**model.weight_files(provenance), **score_golden(model, _pictures(config.image_size))}
    how = Preprocessing(config.image_size)
    manifest = Manifest(how, definitions, config.to_mapping(), provenance, {}, model.method.name, model.graphs)
    return Imported(Bundle.create(path, manifest, files), _lines(foreign, config, plan, record))


def read_foreign(file: Path, plan: ImportPlan) -> ForeignModel:
    """The model in a file, read by the importer of its origin. Raises ImportRefused, OSError."""
    if plan.source not in SOURCES:
        raise ConfigError(f"no origin {plan.source!r}; choose one of: {', '.join(SOURCES)}")
    with TorchFile(file) as opened:
        reference, anomalib = is_reference(opened.root), is_anomalib(opened.root)
        if not reference and not anomalib:
            raise ImportRefused(
                f"{file} holds no CS-Flow model that csflow knows: expected the authors' pickled ReversibleGraphNet or "
                "a checkpoint of anomalib's CS-Flow"
            )
        found = "reference" if reference else "anomalib"
        if plan.source != "auto" and not plan.source.startswith(found):
            raise ConfigError(f"{file} is a model of {found}, not of {plan.source}: leave --from out")
        try:
            if reference:
                return read_reference(opened, plan.clamp)
            return read_anomalib(opened, "anomalib" if plan.source == "auto" else plan.source, plan.clamp)
        except DAMAGE as error:
            raise ImportRefused(
                f"{file} has the names of a {found} model, but not its contents ({type(error).__name__}): save it again"
            ) from None


def _check_channels(channels: int) -> None:
    if channels == OTHER_BLOCK:
        raise ImportRefused(
            "the model reads 512 channels: it was trained on block index 36 (cs-flow before 2022-03-31); csflow's "
            "backbone ends with block 35 (304 channels), as the paper's does: train it again with 'csflow train'"
        )
    if channels != CHANNELS:
        raise ImportRefused(
            f"the model reads {channels} channels, but EfficientNet-B5 gives {CHANNELS}: another feature extractor"
        )


def _check_finite(backbone: Backbone) -> None:
    for name, tensor in backbone.trunk.state_dict().items():
        if not tensor.isfinite().all():
            raise ImportRefused(
                f"backbone weights: {name} holds NaN or infinity: the training had failed, or the file is damaged"
            )


def _configuration(foreign: ForeignModel, plan: ImportPlan) -> ModelConfig:
    padding = foreign.padding
    size = _stated("--image-size", foreign.image_size, plan.image_size)
    mean = _stated("--mean", foreign.mean, plan.mean)
    std = _stated("--std", foreign.std, plan.std)
    missing = [name for name, value in (("--image-size", size), ("--mean", mean), ("--std", std)) if value is None]
    if missing:
        raise ImportRefused(
            f"the file does not tell how pictures reach the model: state {', '.join(missing)} as its training had them "
            "(anomalib's default since 1.0: --image-size 256 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; the "
            "authors' code: --image-size 768); another value gives other scores, which nothing shows later"
        )
    if padding is not None and plan.padding not in (None, padding):
        raise ConfigError(f"{foreign.origin} models have {padding!r} padding, not {plan.padding!r}: leave it out")
    # The tag of a timm name claims certain weights; those of a file are known by their fingerprint only.
    name = BackboneConfig().name if _from_hub(foreign, plan) else ARCHITECTURE
    padding = padding or plan.padding or PIP_PADDING
    backbone = checked(BackboneConfig, name, mean=mean, std=std, padding=padding)
    head = replace(foreign.flow.config, anomaly_map=foreign.anomaly_map)
    return checked(ModelConfig, size, backbone, head=head)


def _stated(option: str, found: T | None, given: T | None) -> T | None:
    if found is not None and given not in (None, found):
        raise ConfigError(f"{option} {_words(given)} contradicts the file, which has {_words(found)}: leave it out")
    return given if found is None else found


def _words(value: object) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


def _from_hub(foreign: ForeignModel, plan: ImportPlan) -> bool:
    return foreign.backbone is None and plan.weights in ("auto", "hub")


def _backbone(
    foreign: ForeignModel, config: BackboneConfig, plan: ImportPlan, file: Path
) -> tuple[Backbone, WeightsRecord]:
    if foreign.backbone is None:
        backbone, record = load_backbone(config, "hub" if _from_hub(foreign, plan) else plan.weights)
        return backbone, replace(record, sha256=fingerprint(backbone))
    if plan.weights != "auto":
        raise ConfigError(f"{file} holds its own backbone weights: leave --backbone-weights out")
    return fill_backbone(config, foreign.backbone, f"checkpoint:{file.name}")


def _pictures(side: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Golden frames without the user's pictures: parts of the synthetic line test engines as well as any."""
    kinds = [None, None, None, None, *DEFECTS]
    return [(k or "good", render_part(0, i, (side, side), k).image) for i, k in enumerate(kinds)]


def _provenance(file: Path, foreign: ForeignModel, config: ModelConfig, record: WeightsRecord) -> dict[str, Any]:
    stored = {k: v for k, v in schema.to_mapping(foreign.thresholds).items() if math.isfinite(v)}
    return {
        "csflow": version("csflow"),
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "imported": {
            "origin": foreign.origin,
            "file": file.name,
            "sha256": _sha256(file),
            "permutations": foreign.permutations,
            "resize": foreign.resize,
            "thresholds": stored,
        },
        "backbone_weights": {
            "source": record.source,
            "fingerprint": record.sha256,
            "padding": config.backbone.padding,
            **({"licence": record.licence} if record.licence else {}),
        },
    }


def _as_stated(foreign: ForeignModel) -> str:
    options = {"--image-size": foreign.image_size, "--mean": foreign.mean, "--std": foreign.std}
    stated = [name for name, found in options.items() if found is None]
    return f" ({', '.join(stated)} as you state)" if stated else ""


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _lines(foreign: ForeignModel, config: ModelConfig, plan: ImportPlan, record: WeightsRecord) -> list[str]:
    flow = foreign.flow.config
    kernels = ",".join(map(str, flow.kernel_sizes))
    lines = [
        f"{foreign.origin}: {len(flow.kernel_sizes)} blocks, kernels {kernels}, hidden {flow.hidden}, "
        f"clamp {flow.clamp:g}; permutations {foreign.permutations}",
        f"backbone weights {record.source}, padding {config.backbone.padding}; map {foreign.anomaly_map}",
    ]
    if foreign.padding is None and plan.padding is None:
        lines.append(
            f"padding {PIP_PADDING} is assumed (efficientnet_pytorch 0.7.1); a model that ran with 0.6.3 needs "
            "--padding tf_same, with 0.7.0 --padding symmetric: see 'pip show efficientnet_pytorch' there"
        )
    trunk = config.backbone
    lines.append(
        f"pictures of {config.image_size} px, mean {_words(trunk.mean)}, deviation {_words(trunk.std)}"
        f"{_as_stated(foreign)}"
    )
    lines += foreign.said
    if foreign.resize != "pillow-bilinear":
        lines.append(f"pictures were resized there by {foreign.resize}; csflow does by Pillow's antialiased bilinear")
    lines += foreign.thresholds.lines()
    lines.append("thresholds are not carried over: run 'csflow calibrate' with good pictures")
    return lines
