"""Tensors to disk, synced and renamed, and what is wrong with those of a file, in words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from csflow.runtime.atomic import sync_directory
from csflow.runtime.errors import SinkError

__all__ = ["misfit", "require_room", "save_tensors"]

NAMED = 3
"""Tensors that a message names; of more it says how many there are."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file; `path` keeps its old content until the new one is on the disk.

    Raises SinkError when it cannot be written.
    """
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, dict(metadata))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except (OSError, SafetensorError) as error:
        raise SinkError(
            f"cannot write {path} ({getattr(error, 'strerror', None) or error}): free the disk or name another bundle"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def misfit(needed: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Which tensors are missing, of another shape than needed, or too many, in words; empty where all fit."""
    shapes = [
        f"{name} is {_shape(found[name])} and not {_shape(tensor)}"
        for name, tensor in needed.items()
        if name in found and found[name].shape != tensor.shape
    ]
    told = [
        _named("missing", [name for name in needed if name not in found]),
        _named("of another shape", shapes),
        _named("too many", [name for name in found if name not in needed]),
    ]
    return "; ".join(text for text in told if text)


def _named(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} {what}: {', '.join(names[:NAMED])}{more}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def require_room(path: Path, *modules: nn.Module) -> None:
    """Raises SinkError where the disk of the bundle `path` has no room for the weights of these modules."""
    needed = sum(t.numel() * t.element_size() for module in modules for t in module.state_dict().values())
    free = shutil.disk_usage(next(p for p in path.absolute().parents if p.exists())).free
    if free < needed:
        raise SinkError(
            f"the bundle needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free where {path} is to be: free space, "
            "or name another place"
        )
