"""Lightning checkpoints of anomalib's CS-Flow, before 1.0 and since ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from csflow.toolkit.importers.archive import TorchFile
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.flow_keys import ANOMALIB, build_flow, flow_shape
from csflow.toolkit.importers.foreign import ForeignModel, Thresholds
from csflow.toolkit.importers.permutations import draw
from csflow.toolkit.importers.settings import PLAIN_KEYS, Settings, read_settings
from csflow.toolkit.importers.unpickler import TensorRef
from csflow.toolkit.importers.wrapping import state_of

__all__ = ["ORIGINS", "is_anomalib", "read_anomalib"]

ORIGINS = ("anomalib-0.x", "anomalib-1.x")
CLAMP, SLOPE = 3.0, 0.1
FEATURES = "model.feature_extractor.feature_extractor.feature_extractor."
OUTER = "model."
PROBE = f"{ANOMALIB[0]}1.cross_convolution1.gamma0"
RESIZES = {
    "anomalib-0.x": "albumentations bilinear, not antialiased",
    "anomalib-1.x": "torchvision antialiased bilinear",
}
THRESHOLDS = {
    "image": ("post_processor._image_threshold", "post_processor.image_threshold", "image_threshold.value"),
    "pixel": ("post_processor._pixel_threshold", "post_processor.pixel_threshold", "pixel_threshold.value"),
    "low": ("post_processor.image_min", "normalization_metrics.pred_scores.min", "normalization_metrics.min"),
    "high": ("post_processor.image_max", "normalization_metrics.pred_scores.max", "normalization_metrics.max"),
}
"""Where versions keep them, newest first. All are in raw units: anomalib normalises around the threshold."""


def is_anomalib(root: Any) -> bool:
    """Whether the object is a Lightning checkpoint, or the state dict of one, of anomalib's CS-Flow."""
    return PROBE in _state(root)


def read_anomalib(file: TorchFile, origin: str = "anomalib", clamp: float | None = None) -> ForeignModel:
    """The flow, the backbone's weights, the settings and the thresholds of a checkpoint.

    Permutations are not in the file: they follow from anomalib's version, which follows from Lightning's.

    Args:
        origin: one of ORIGINS, or 'anomalib': find out.
        clamp: alpha of the couplings; None: as the checkpoint's settings say, else anomalib's default 3.

    Raises ImportRefused where the version is in doubt, or the model is not anomalib's CS-Flow.
    """
    root = file.root
    refs = {name: ref for name, ref in _state(root).items() if isinstance(name, str) and isinstance(ref, TensorRef)}
    version = _version(root, refs)
    if origin != "anomalib" and version is not None and origin != version:
        raise ImportRefused(
            f"--from {origin} contradicts the file, which was written by {version}; leave --from out to follow the file"
        )
    origin = origin if origin != "anomalib" else version or ""
    if not origin:
        raise ImportRefused(
            "the file does not tell which anomalib wrote it, and versions before and since 1.0 permute channels "
            "differently: name it with --from anomalib-0.x or --from anomalib-1.x"
        )
    settings = read_settings(root)
    alpha = _clamp(settings.clamp, clamp)
    config = flow_shape(ANOMALIB, {name: ref.shape for name, ref in refs.items()}, alpha, SLOPE)
    generation = "legacy" if origin == "anomalib-0.x" else "modern"
    permutations = draw(generation, len(config.kernel_sizes), config.channels)

    def read(name: str) -> Tensor:
        return file.tensor(refs[name])

    return ForeignModel(
        origin,
        build_flow(ANOMALIB, config, read, permutations),
        f"{generation}, drawn",
        "product-mean-z2",
        "symmetric",
        _image_size(settings.size),
        RESIZES[origin] + settings.steps,
        {name.removeprefix(FEATURES): read(name) for name in refs if name.startswith(FEATURES)} or None,
        _thresholds(file, refs),
        settings.mean,
        settings.std,
        _said(settings),
    )


def _state(root: Any) -> Mapping[Any, Any]:
    """The state dict of the Lightning module; that of the network inside it gets the same names."""
    state = state_of(root)
    if PROBE.removeprefix(OUTER) in state:
        return {f"{OUTER}{name}": value for name, value in state.items()}
    return state


def _version(root: Mapping[Any, Any], refs: Mapping[str, TensorRef]) -> str | None:
    """anomalib before 1.0 ran on Lightning 1, later ones run on Lightning 2; `post_processor` came with anomalib 2."""
    lightning = root.get("pytorch-lightning_version")
    major = lightning.split(".")[0] if isinstance(lightning, str) else None
    by_lightning = {"1": ORIGINS[0], "2": ORIGINS[1]}.get(major or "")
    newer = any(name.startswith("post_processor.") for name in refs) or any(key in root for key in PLAIN_KEYS)
    by_keys = ORIGINS[1] if newer else None
    if by_lightning and by_keys and by_lightning != by_keys:
        raise ImportRefused(
            f"the checkpoint was written by Lightning {lightning}, as anomalib before 1.0 did, but holds what only "
            "anomalib 2 writes: its permutations are in doubt; import the file as training wrote it"
        )
    return by_keys or by_lightning


def _clamp(known: float | None, given: float | None) -> float:
    if given is not None and known is not None and given != known:
        raise ImportRefused(f"--clamp {given:g} contradicts the checkpoint, which has {known:g}: leave --clamp out")
    return known or given or CLAMP


def _image_size(size: tuple[int, int] | None) -> int | None:
    if size is None:
        return None
    if size[0] != size[1]:
        raise ImportRefused(
            f"the model was trained on {size[0]}x{size[1]} pixels: csflow's input is square; train again with a square"
        )
    return size[0]


def _said(settings: Settings) -> tuple[str, ...]:
    said: tuple[str, ...] = ()
    if settings.origin is not None:
        said += (f"picture settings: from {settings.origin}",)
    if settings.sensitivity not in (None, 0.5):
        said += (f"anomalib calls normalised scores above {1 - settings.sensitivity:g} anomalous (image_sensitivity)",)
    return said


def _thresholds(file: TorchFile, refs: Mapping[str, TensorRef]) -> Thresholds:
    def number(names: tuple[str, ...]) -> float:
        ref = next((refs[name] for name in names if name in refs and math.prod(refs[name].shape) == 1), None)
        return math.nan if ref is None else float(file.tensor(ref))

    found = Thresholds(**{field: number(names) for field, names in THRESHOLDS.items()})
    mean, std = (number((f"normalization_metrics.image_{what}",)) for what in ("mean", "std"))
    if not math.isfinite(mean) or not math.isfinite(std):
        return found
    # 'cdf' normalisation chose its thresholds on (log(score) - mean) / std, those of pixels position by position.
    exponent = found.image * std + mean
    return Thresholds(image=math.exp(exponent) if exponent < 700.0 else math.nan)
