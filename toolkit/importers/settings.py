"""What an anomalib checkpoint says about its model beside the weights: clamp, input size, resize and normalisation.

Before 1.0 it lies in an OmegaConf configuration (`hyper_parameters`), in 1.x in a pickled torchvision transform
(`transform`), since 2.0 in the transform of a pickled PreProcessor; where the user changed nothing it is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from csflow.toolkit.config import BackboneConfig
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.unpickler import Inert

__all__ = ["Settings", "read_settings"]

Colour = tuple[float, float, float]
PASSING = {"ToTensor", "ToImage", "ToDtype", "ToPureTensor", "ConvertImageDtype", "Identity"}
"""Transforms that only convert numbers; csflow's own scaling to 0..1 does the same."""
MAX_PARTS = 100


@dataclass(frozen=True)
class Settings:
    """What was found; None: the file does not tell."""

    clamp: float | None = None
    size: tuple[int, int] | None = None
    """(height, width) of the model input in pixels."""
    mean: Colour = BackboneConfig.mean
    std: Colour = BackboneConfig.std
    steps: str = ""
    """What happens to pictures beside a bilinear resize, in words."""


def read_settings(root: Mapping[Any, Any]) -> Settings:
    """The settings in a Lightning checkpoint of anomalib.

    Raises ImportRefused for a normalisation or a transform that csflow cannot compute.
    """
    given = _entries(root.get("hyper_parameters"))
    model, data = _entries(given.get("model")), _entries(given.get("dataset"))
    clamp = given.get("clamp", model.get("clamp"))
    found = Settings(
        _positive(clamp),
        _sides(given.get("input_size", model.get("input_size"))),
        steps="".join(f", then the middle {side}" for side in filter(None, [_words(data.get("center_crop"))])),
    )
    if data.get("normalization") == "none":
        found = replace(found, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    processor = given.get("pre_processor")
    transform = root.get("transform") or (_attribute(processor, "transform") if isinstance(processor, Inert) else None)
    return _transformed(found, transform) if isinstance(transform, Inert) else found


def _transformed(found: Settings, transform: Inert) -> Settings:
    found = replace(found, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for part in _parts(transform):
        name = part.qualname.rpartition(".")[2]
        if name == "Resize":
            found = replace(found, size=_sides(_attribute(part, "size")))
        elif name == "CenterCrop":
            size = _sides(_attribute(part, "size"))
            found = replace(found, size=size, steps=f"{found.steps}, then the middle {_words(size)}")
        elif name == "Normalize":
            found = replace(found, mean=_colour(part, "mean"), std=_colour(part, "std"))
        elif name not in PASSING:
            raise ImportRefused(
                f"pictures pass through {ascii(name)[1:60]} there, which csflow does not compute: train without it"
            )
    return found


def _parts(transform: Inert) -> Iterator[Inert]:
    if transform.qualname.rpartition(".")[2] not in ("Compose", "Sequential"):
        yield transform
        return
    listed = _attribute(transform, "transforms")
    for part in list(listed)[:MAX_PARTS] if isinstance(listed, list | tuple) else []:
        if isinstance(part, Inert):
            yield part


def _attribute(record: Inert, name: str) -> Any:
    """An attribute of a pickled object; a module keeps its submodules apart."""
    modules = record.state.get("_modules")
    held = modules.get(name) if isinstance(modules, dict) else None
    return _plain(record.state.get(name, held))


def _entries(value: Any) -> Mapping[Any, Any]:
    """The entries of a mapping, plain or OmegaConf's."""
    if isinstance(value, Inert):
        value = value.state.get("_content")
    return {name: _plain(entry) for name, entry in value.items()} if isinstance(value, dict) else {}


def _plain(value: Any) -> Any:
    """What an OmegaConf node holds: the value of a leaf, the items of a list; mappings and others as they are."""
    if not isinstance(value, Inert) or not value.qualname.startswith("omegaconf."):
        return value
    if "_val" in value.state:
        return value.state["_val"]
    content = value.state.get("_content")
    return [_plain(item) for item in content[:MAX_PARTS]] if isinstance(content, list) else value


def _positive(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value < 1e6 else None


def _sides(size: Any) -> tuple[int, int] | None:
    sides = list(size) if isinstance(size, list | tuple) else [size]
    if len(sides) not in (1, 2) or not all(type(n) is int for n in sides):
        return None
    return (sides[0], sides[-1])


def _words(size: Any) -> str:
    sides = _sides(size)
    return f"{sides[0]}x{sides[1]}" if sides else ""


def _colour(part: Inert, name: str) -> Colour:
    values = _attribute(part, name)
    fits = isinstance(values, list | tuple) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not fits or not all(math.isfinite(v) and abs(v) < 1e6 and (name == "mean" or v > 0) for v in values):
        raise ImportRefused(f"the {name} of the normalisation there is not three numbers: csflow takes RGB pictures")
    return (float(values[0]), float(values[1]), float(values[2]))
