"""The steps that a picture passes on its way into an anomalib model, pickled or as plain data.

Before 2.7 a transform is pickled; since 2.7 it is `{"class_path": ..., "init_args": {...}}`. Both become `Step`s, which
are followed by one closed list: what is not on it is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.unpickler import Inert

__all__ = ["Colour", "Route", "attribute", "plain", "route_of", "sides"]

Colour = tuple[float, float, float]
PASSING = {"ToTensor", "ToImage", "ToDtype", "ToPureTensor", "ConvertImageDtype", "Identity"}
"""Transforms that only convert numbers; csflow's own scaling to 0..1 does the same."""
NESTING = ("Compose", "Sequential")
CROPS = ("CenterCrop", "ExportableCenterCrop")
MAX_PARTS = 100
MAX_DEPTH = 8


@dataclass(frozen=True)
class Route:
    """What a transform does to pictures, as far as csflow computes it."""

    size: tuple[int, int] | None = None
    """(height, width) of the model input in pixels; None: pictures enter at their own size."""
    mean: Colour = (0.0, 0.0, 0.0)
    std: Colour = (1.0, 1.0, 1.0)
    words: str = ""
    """What happens to pictures beside an antialiased bilinear resize."""


@dataclass(frozen=True)
class _Step:
    name: str
    arguments: Mapping[Any, Any]


def route_of(transform: Any) -> Route:
    """Follow a transform, pickled or plain.

    Raises ImportRefused, naming it, for a step that csflow does not compute: anything but Resize (bilinear),
    Normalize, CenterCrop, ExportableCenterCrop, Compose and those that only convert numbers.
    """
    route, seen = Route(), set[str]()
    for step in _steps(transform, 0):
        kind = "CenterCrop" if step.name in CROPS else step.name
        if kind in seen and kind not in PASSING:
            raise ImportRefused(f"pictures pass through {kind} twice there: csflow computes one of a kind")
        seen.add(kind)
        route = _followed(route, step)
    return route


def attribute(record: Inert, name: str) -> Any:
    """An attribute of a pickled object; a module keeps its submodules apart."""
    modules = record.state.get("_modules")
    held = modules.get(name) if isinstance(modules, dict) else None
    return plain(record.state.get(name, held))


def plain(value: Any) -> Any:
    """What an OmegaConf node holds: the value of a leaf, the items of a list; mappings and others as they are."""
    if not isinstance(value, Inert) or not value.qualname.startswith("omegaconf."):
        return value
    if "_val" in value.state:
        return value.state["_val"]
    content = value.state.get("_content")
    return [plain(item) for item in content[:MAX_PARTS]] if isinstance(content, list) else value


def sides(size: Any) -> tuple[int, int] | None:
    """(height, width) of what transforms call a size; None where it is none."""
    numbers = list(size) if isinstance(size, list | tuple) else [size]
    if len(numbers) not in (1, 2) or not all(type(n) is int and n > 0 for n in numbers):
        return None
    return (numbers[0], numbers[-1])


def _steps(transform: Any, depth: int) -> Iterator[_Step]:
    step = _step(transform)
    if step.name not in NESTING:
        yield step
        return
    parts = step.arguments.get("transforms")
    if not isinstance(parts, list | tuple) or len(parts) > MAX_PARTS or depth > MAX_DEPTH:
        raise ImportRefused("the transform in the file is no list of steps: save the model again")
    for part in parts:
        yield from _steps(part, depth + 1)


def _step(part: Any) -> _Step:
    if isinstance(part, Inert):
        held = part.state.get("_modules")
        arguments = {**(held if isinstance(held, dict) else {}), **part.state}
        return _Step(part.qualname.rpartition(".")[2], {k: plain(v) for k, v in arguments.items()})
    path, given = (part.get("class_path"), part.get("init_args")) if isinstance(part, Mapping) else (None, None)
    if not isinstance(path, str) or not isinstance(given, Mapping):
        raise ImportRefused(
            "a step of the transform in the file is neither an object nor class_path with init_args: csflow does not "
            "know this version of anomalib; state --image-size, --mean and --std of a state dict saved alone"
        )
    return _Step(path.rpartition(".")[2], given)


def _followed(route: Route, step: _Step) -> Route:
    if step.name == "Resize":
        return _resized(route, step)
    if step.name in CROPS:
        size = _size(step)
        return replace(route, size=size, words=f"{route.words}, then the middle {size[0]}x{size[1]}")
    if step.name == "Normalize":
        return replace(route, mean=_colour(step, "mean"), std=_colour(step, "std"))
    if step.name in PASSING:
        return route
    raise ImportRefused(
        f"pictures pass through {ascii(step.name)[1:60]} there, which csflow does not compute: train without it"
    )


def _resized(route: Route, step: _Step) -> Route:
    size, given = _size(step), step.arguments.get("size")
    how = _interpolation(step.arguments.get("interpolation"))
    if how != "bilinear" or step.arguments.get("max_size") is not None:
        raise ImportRefused(
            f"pictures pass through Resize with {how if how != 'bilinear' else 'max_size'} there, csflow resizes "
            "bilinearly to a square: train again so"
        )
    words = "" if step.arguments.get("antialias", True) else ", not antialiased"
    if not isinstance(given, list | tuple) or len(given) == 1:
        words += ", the aspect kept (csflow does not: give it square pictures)"
    return replace(route, size=size, words=route.words + words)


def _interpolation(value: Any) -> str:
    """Its name; pickled enumerations are records of the name or the value."""
    if isinstance(value, Inert):
        value = value.args[0] if value.args else ""
    return "bilinear" if value is None else ascii(value).strip("'").lower()[:20]


def _size(step: _Step) -> tuple[int, int]:
    found = sides(step.arguments.get("size"))
    if found is None:
        raise ImportRefused(f"the size of {step.name} there is neither one nor two numbers: save the model again")
    return found


def _colour(step: _Step, name: str) -> Colour:
    given = step.arguments.get(name)
    values = list(given) if isinstance(given, list | tuple) else []
    fits = len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not fits or not all(math.isfinite(v) and abs(v) < 1e6 and (name == "mean" or v > 0) for v in values):
        raise ImportRefused(f"the {name} of the normalisation there is not three numbers: csflow takes RGB pictures")
    return (float(values[0]), float(values[1]), float(values[2]))
