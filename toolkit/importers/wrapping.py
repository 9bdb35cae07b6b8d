"""What people wrap a model in before they save it: dictionaries, DataParallel, torch.compile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.unpickler import Inert

__all__ = ["state_of", "unwrapped"]

CONTAINERS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training scripts keep the state dict, or the module, in this order."""
WRAPPERS = ("module", "_orig_mod")
"""Attributes that DataParallel and torch.compile put around a module; parts of tensor names after that."""
DEPTH = 4


def unwrapped(root: Any) -> Any:
    """The pickled module or the state dict inside `root`, without what it was wrapped in; `root` where it is neither.

    A state dict's names lose the parts 'module' and '_orig_mod', wherever they stand. Raises ImportRefused where two
    names become one.
    """
    for _ in range(DEPTH):
        inner = _inner(root)
        if inner is None:
            break
        root = inner
    return _plain_names(root) if isinstance(root, Mapping) else root


def state_of(root: Any) -> Mapping[Any, Any]:
    """The state dict inside `root`; empty where there is none."""
    found = unwrapped(root)
    return found if isinstance(found, Mapping) else {}


def _inner(root: Any) -> Any:
    if isinstance(root, Mapping):
        return next((root[key] for key in CONTAINERS if isinstance(root.get(key), Mapping | Inert)), None)
    held = root.state.get("_modules") if isinstance(root, Inert) else None
    if isinstance(held, dict):
        return next((held[name] for name in WRAPPERS if isinstance(held.get(name), Inert)), None)
    return None


def _plain_names(state: Mapping[Any, Any]) -> dict[Any, Any]:
    plain: dict[Any, Any] = {}
    for name, value in state.items():
        short = _plain_name(name) if isinstance(name, str) else name
        if short in plain:
            raise ImportRefused(
                f"the file holds {ascii(short)[1:80]} twice, with and without the prefix of a wrapper: "
                "save one model alone"
            )
        plain[short] = value
    return plain


def _plain_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
