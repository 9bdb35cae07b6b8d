"""The graphs of a bundle in running order and where their files lie: the one place that spells these names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.engines.name import EngineName
from csflow.runtime.errors import BundleError

__all__ = ["FILE", "OPENVINO", "Stage", "engine_files", "graph_file", "stages", "wide_files"]

FILE = "graphs/{precision}/{graph}.onnx"
OPENVINO = ("fp32", "fp32+bf16", "bf16", "int8", "bf16+int8")
"""The precisions that are tried with OpenVINO, from the widest to the narrowest. All rounding that matters is born in
the backbone, where channels of a small spread lie round a large mean; so one that rounds the head alone comes first."""


@dataclass(frozen=True)
class Stage:
    """One graph in one precision."""

    graph: str
    """Its name in the manifest."""
    precision: str
    """That it computes in."""
    file: str
    """Its ONNX file inside the bundle."""


def graph_file(precision: str, graph: str) -> str:
    """The name of an ONNX file inside a bundle: of a graph of the manifest, or of a camera's resize."""
    return FILE.format(precision=precision, graph=graph)


def wide_files(graph: str) -> tuple[str, str]:
    """The files of a graph in two parts for bfloat16: what stays in float32, and the rest."""
    return graph_file("bf16", f"{graph}_wide"), graph_file("bf16", graph)


def stages(manifest: Manifest, name: EngineName) -> tuple[Stage, ...]:
    """The stages that an engine of this name runs, in order; the files need not be there.

    OpenVINO computes the float32 graphs in bfloat16 too, those in two parts (`wide_files`) where the bundle has them,
    and of the graphs quantised to INT8 it takes the last alone.

    Raises ValueError where the name has another number of precisions than the bundle has graphs.
    """
    precisions = name.of_graphs(len(manifest.graphs))
    if name.backend == "openvino" and name.precision == "int8":
        precisions = ("fp32",) * (len(manifest.graphs) - 1) + ("int8",)
    return tuple(
        stage
        for graph, precision in zip(manifest.graphs, precisions, strict=True)
        for stage in _stages_of(manifest, name, graph, precision)
    )


def _stages_of(manifest: Manifest, name: EngineName, graph: str, precision: str) -> tuple[Stage, ...]:
    if name.backend != "openvino" or precision != "bf16":
        return (Stage(graph, precision, graph_file(precision, graph)),)
    wide, rest = wide_files(graph)
    if wide in manifest.files and rest in manifest.files:
        return (Stage(f"{graph}_wide", "fp32", wide), Stage(graph, precision, rest))
    return (Stage(graph, precision, graph_file("fp32", graph)),)


def engine_files(bundle: Bundle, name: EngineName) -> dict[str, str]:
    """The files that an engine of this name runs, with their SHA-256; those that are not there are left out.

    OpenVINO runs ONNX graphs, a Triton server those or plans made from them, TensorRT the plans in
    engines/<backend>/<precision>/, which no manifest names; torch runs the weights, which every record is bound to
    besides. Raises BundleError where a plan cannot be read.
    """
    if name.backend in ("openvino", "triton"):
        files = bundle.manifest.files
        return {s.file: files[s.file].sha256 for s in stages(bundle.manifest, name) if s.file in files}
    folder = f"engines/{name.backend}/{name.precision}"
    plans = sorted(path for path in (bundle.path / folder).glob("*.plan") if path.is_file())
    return {f"{folder}/{path.name}": _sha256(path) for path in plans}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()
