"""What is in a file or folder: a bundle, an ONNX graph, or a TensorRT plan; only graphs need the library onnx."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from csflow.export.facts.bundle_facts import bundle_facts, bundle_lines
from csflow.export.facts.plan_facts import plan_facts, plan_lines
from csflow.runtime.engines.tensorrt.plan_header import is_plan
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install

__all__ = ["Inspection", "inspect_path"]

PLAN_SUFFIXES = {".plan", ".engine", ".trt"}


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    kind: str
    """'bundle', 'graph' or 'plan'."""
    facts: object
    """A dataclass: `BundleFacts`, `GraphFacts` or `PlanFacts`."""
    lines: tuple[str, ...]
    """The same for people."""
    damaged: tuple[str, ...] = ()
    """Files of a bundle that are not what was written."""


def inspect_path(path: Path, verify: bool = True) -> Inspection:
    """Inspect a bundle, an .onnx file or a TensorRT plan.

    Args:
        path: a bundle's directory or a file.
        verify: whether every file of a bundle is hashed.

    Raises:
        ConfigError: there is nothing at `path`, it is none of the three, or a graph that is no ONNX model.
        BundleError, BundleVersionError, BundleCorrupted: the bundle does not open.
        EngineError: the plan is damaged or of an unknown form.
        BackendUnavailable: `path` is a graph and onnx is not installed.
    """
    if path.is_dir():
        return _bundle(path, verify)
    if not path.is_file():
        raise ConfigError(f"there is no file or folder {path}: expected a bundle, an .onnx file or a TensorRT plan")
    if _looks_like_plan(path):
        facts = plan_facts(path)
        return Inspection("plan", facts, _plain(plan_lines(facts)))
    if path.suffix.lower() == ".onnx":
        return _graph(path)
    raise ConfigError(f"{path} is no bundle, .onnx file or TensorRT plan: csflow can inspect those three")


def _looks_like_plan(path: Path) -> bool:
    with path.open("rb") as file:
        return is_plan(file.read(4)) or path.suffix.lower() in PLAN_SUFFIXES


def _bundle(path: Path, verify: bool) -> Inspection:
    facts = bundle_facts(path, verify)
    damaged = tuple(file.name for file in facts.files if file.state == "damaged")
    return Inspection("bundle", facts, _plain(bundle_lines(facts)), damaged)


def _graph(path: Path) -> Inspection:
    if find_spec("onnx") is None:
        raise BackendUnavailable(f"{path} can only be read with the library onnx: {pip_install('export')}")
    from csflow.export.facts.graph_facts import graph_facts, graph_lines

    facts = graph_facts(path)
    return Inspection("graph", facts, _plain(graph_lines(facts)))


def _plain(lines: list[str]) -> tuple[str, ...]:
    # Names and provenance are outside data: nothing in them may break a line or steer a terminal.
    return tuple(line if line.isprintable() else ascii(line)[1:-1] for line in lines)
