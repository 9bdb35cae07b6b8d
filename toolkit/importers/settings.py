"""What an anomalib checkpoint says about its model beside the weights: clamp, input size, resize and normalisation.

version     where it lies
0.4-0.7     OmegaConf configuration under `hyper_parameters`: `model.input_size`, `dataset.normalization`
1.0-1.2     pickled torchvision transform under `transform`
2.0-2.6     `hyper_parameters.pre_processor`: a pickled PreProcessor, or True for anomalib's default
2.7-        plain data under `anomalib_pre_processor_config`, `anomalib_components_enabled`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.importers.transforms import Colour, Route, attribute, plain, route_of, sides
from csflow.toolkit.importers.unpickler import Inert

__all__ = ["PLAIN_KEYS", "Settings", "read_settings"]

PRE_PROCESSOR, ENABLED = "anomalib_pre_processor_config", "anomalib_components_enabled"
PLAIN_KEYS = (PRE_PROCESSOR, "anomalib_post_processor_config", ENABLED)
"""What only anomalib 2.7 and later write."""
DEFAULT = Route((256, 256), BackboneConfig.mean, BackboneConfig.std)
"""anomalib's own since 1.0, where the user gave no transform."""
RAW = Route()


@dataclass(frozen=True)
class Settings:
    """What was found; None: the file does not tell."""

    clamp: float | None = None
    size: tuple[int, int] | None = None
    """(height, width) of the model input in pixels."""
    mean: Colour | None = None
    std: Colour | None = None
    steps: str = ""
    """What happens to pictures beside a bilinear resize, in words."""
    origin: str | None = None
    """Where in the file size and normalisation lie."""
    sensitivity: float | None = None
    """anomalib calls a picture anomalous where its normalised score exceeds 1 - sensitivity; 0.5 by default."""


def read_settings(root: Mapping[Any, Any]) -> Settings:
    """The settings in a Lightning checkpoint of anomalib, or in its state dict alone, which has none.

    Raises ImportRefused for a normalisation or a transform that csflow cannot compute.
    """
    given = _entries(root.get("hyper_parameters"))
    model = _entries(given.get("model"))
    clamp = _positive(given.get("clamp", model.get("clamp")))
    sensitivity = _positive(_entries(root.get("anomalib_post_processor_config")).get("image_sensitivity"))
    if (found := _route(root, given) or _configured(given, model)) is not None:
        route, origin = found
        return Settings(clamp, route.size, route.mean, route.std, route.words, origin, sensitivity)
    return Settings(clamp, sides(given.get("input_size", model.get("input_size"))), sensitivity=sensitivity)


def _route(root: Mapping[Any, Any], given: Mapping[Any, Any]) -> tuple[Route, str] | None:
    """Newest layout first."""
    if _entries(root.get(ENABLED)).get("pre_processor") is False:
        return RAW, f"{ENABLED} (no pre-processor)"
    if (config := root.get(PRE_PROCESSOR)) is not None:
        # None is written for a transform that has no plain form as well as for none at all: nothing is known then.
        transform = config.get("transform") if isinstance(config, Mapping) else None
        return None if transform is None else (route_of(transform), PRE_PROCESSOR)
    processor = given.get("pre_processor")
    if isinstance(processor, bool):
        return (DEFAULT if processor else RAW), f"hyper_parameters (pre_processor is {processor})"
    transform = root.get("transform") or (attribute(processor, "transform") if isinstance(processor, Inert) else None)
    if isinstance(transform, Inert):
        return route_of(transform), "transform" if root.get("transform") else "hyper_parameters.pre_processor"
    return (DEFAULT, "anomalib 1's default transform (the file holds no other)") if _is_first(root) else None


def _is_first(root: Mapping[Any, Any]) -> bool:
    """Whether anomalib 1 wrote it for sure: 1.0 alone ran on Lightning 2.0 and 2.1, and only 1.x writes `transform`.

    Given none, it uses its default.
    """
    lightning = root.get("pytorch-lightning_version")
    return isinstance(lightning, str) and (
        lightning.startswith(("2.0.", "2.1.")) or (lightning.startswith("2.") and "transform" in root)
    )


def _configured(given: Mapping[Any, Any], model: Mapping[Any, Any]) -> tuple[Route, str] | None:
    """The configuration that anomalib wrote before 1.0; without its data set it says nothing about normalisation."""
    data = _entries(given.get("dataset"))
    size = sides(given.get("input_size", model.get("input_size")))
    custom = _entries(data.get("transform_config")).get("eval")
    if size is None or data.get("normalization") not in ("imagenet", "none") or custom is not None:
        return None
    route = RAW if data["normalization"] == "none" else DEFAULT
    crop = sides(data.get("center_crop"))
    words = f", then the middle {crop[0]}x{crop[1]}" if crop else ""
    return Route(size, route.mean, route.std, words), "hyper_parameters"


def _entries(value: Any) -> Mapping[Any, Any]:
    """The entries of a mapping, plain or OmegaConf's."""
    if isinstance(value, Inert):
        value = value.state.get("_content")
    return {name: plain(entry) for name, entry in value.items()} if isinstance(value, dict) else {}


def _positive(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value < 1e6 else None
