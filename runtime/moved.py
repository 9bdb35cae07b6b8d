"""Modules that the documentation of csflow 0.1 named, and where they are now: programs that import them go on."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

__all__ = ["MOVED", "install"]

MOVED = {
    "csflow.runtime.decision": "csflow.runtime.bundle.calibration",
    "csflow.runtime.stream": "csflow.runtime.line.stream",
    "csflow.runtime.plan": "csflow.runtime.engines.tensorrt.plan_header",
    "csflow.runtime.plan_record": "csflow.runtime.engines.tensorrt.plan_record",
    "csflow.runtime.tensorrt_library": "csflow.runtime.engines.tensorrt.library",
    "csflow.runtime.preprocess": "csflow.runtime.picture.preprocess",
}
"""By old name. Those that a folder of the same name replaces are told by the folder: csflow.runtime.doctor."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked last, when no file has the name; loads the module of the new name under both."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that has moved."""
        return importlib.machinery.ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module itself, so that its classes are the same by either name."""
        module = importlib.import_module(MOVED[spec.name])
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It was executed under its new name, and goes by that one."""
        module.__spec__ = self._own


def install() -> None:
    """Let old names be found."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
