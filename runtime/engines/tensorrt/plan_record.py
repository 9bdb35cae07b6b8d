"""The JSON beside a TensorRT plan: what it was built from, by whom and for which GPU; read without TensorRT.

    engines/<flavour>/<precision>/<graph>.plan         the plan, as TensorRT gave it; trtexec loads it
    engines/<flavour>/<precision>/<graph>.plan.json    its `PlanRecord`

Plans are made on the device and stay there: no manifest names them, and a bundle opens without them.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csflow.runtime import schema
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.engines.tensorrt.plan_header import PLAN_TAGS, PlanHeader, read_plan_header
from csflow.runtime.errors import EngineError, EngineMismatch

if TYPE_CHECKING:
    from csflow.runtime.bundle.directory import Bundle

__all__ = [
    "COMPATIBLE_LEVELS",
    "RESIZE",
    "BuildOptions",
    "PlanAudit",
    "PlanRecord",
    "check_plan",
    "graph_names",
    "plan_path",
    "read_plan",
    "read_record",
    "record_path",
]

RESIZE = re.compile(r"resize_([1-9]\d{0,4})x([1-9]\d{0,4})")
"""Name of the graph that crops and resizes pictures of H x W pixels on the device."""
COMPATIBLE_LEVELS = ("ampere-plus", "same-compute-capability")
REBUILD = "build it again on this machine with 'csflow export --fp16'"


@dataclass(frozen=True)
class BuildOptions:
    """How a plan was built. Options are stored by name: TensorRT's own numbers differ between versions."""

    batch: tuple[int, int, int] = (1, 1, 1)
    """Frames at a time: fewest, the number it is tuned for, most. Three equal numbers give a fixed shape."""
    workspace: int | None = None
    """Bytes of GPU memory that one layer may use as scratch; None leaves TensorRT's own limit, all of it."""
    optimization_level: int | None = None
    """0 builds fastest, 5 searches longest; None leaves TensorRT's own, 3."""
    compute_capabilities: tuple[str, ...] = ()
    """GPUs of a plan of TensorRT for RTX, for example '8.6'; none means all that it knows but 7.5."""
    hardware_compatible: str | None = None
    """'ampere-plus' (every GPU from 8.0 on) or 'same-compute-capability'; None is the kind of GPU that built it."""
    version_compatible: bool = False
    """Whether newer versions of TensorRT load it too."""
    dla_core: int | None = None
    """Deep learning accelerator that runs the backbone; None is the GPU."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch[0] <= self.batch[1] <= self.batch[2]:
            raise ValueError("batch must be three numbers that do not fall, from 1 on, for example 1,4,8")
        if self.optimization_level not in (None, 0, 1, 2, 3, 4, 5):
            raise ValueError("optimization_level must be from 0 to 5")
        if self.hardware_compatible not in (None, *COMPATIBLE_LEVELS):
            raise ValueError(f"hardware_compatible must be one of {', '.join(COMPATIBLE_LEVELS)}")
        if (self.workspace is not None and self.workspace < 1) or (self.dla_core is not None and self.dla_core < 0):
            raise ValueError("workspace must be 1 or more, dla_core 0 or more")

    @property
    def fixed_batch(self) -> bool:
        """Whether the plan takes one batch size only."""
        return self.batch[0] == self.batch[2]


@dataclass(frozen=True)
class PlanAudit:
    """In which precision the plan multiplies, by share of multiply-accumulates of its products."""

    half_in_graph: float
    """Share in half precision, or INT8, that the ONNX graph's types ask for."""
    half_in_plan: float | None
    """Share found in the built layers; None where they could not be read."""
    source: str
    """Where the layers were read: 'engine inspector', 'build log', or 'typed graph' where they could not be."""


@dataclass(frozen=True)
class PlanRecord:
    """What is known of a plan."""

    graph: str
    """'backbone', 'flow', or for a camera format 'resize_<H>x<W>'."""
    precision: str
    """As in graphs/<precision>/, for example 'fp16'."""
    onnx_sha256: str
    plan_sha256: str
    plan_size: int
    """Bytes."""
    flavour: str
    """'tensorrt' or 'tensorrt-rtx'."""
    version: str
    """Of the TensorRT that built it, for example '10.3.0.26'."""
    gpu: str | None
    """Name of the GPU that built it; None for plans of TensorRT for RTX built without one."""
    compute_capabilities: tuple[str, ...]
    """GPUs that it runs on, for example '8.7'; 'above 12.0' for later ones."""
    machine: str
    """Processor architecture that built it, for example 'aarch64'."""
    options: BuildOptions
    audit: PlanAudit
    build_s: float
    created_utc: str
    format_version: int = 1

    def __post_init__(self) -> None:
        if self.format_version != 1:
            raise ValueError(f"is of version {self.format_version}, this csflow reads 1: update csflow")
        if self.flavour not in PLAN_TAGS.values():
            raise ValueError("flavour is none that csflow writes")
        if not all(re.fullmatch(r"[0-9a-f]{64}", text) for text in (self.onnx_sha256, self.plan_sha256)):
            raise ValueError("expected hashes of 64 hexadecimal digits")

    def to_bytes(self) -> bytes:
        """JSON that `read_record` reads."""
        return schema.dump_json(schema.to_mapping(self))


def graph_names(bundle: Bundle, precision: str) -> tuple[str, ...]:
    """The graphs of a precision that are built into plans: those of the manifest, and one for each camera format."""
    folder, end = graph_file(precision, "").rpartition("/")[0] + "/", ".onnx"
    stems = (name[len(folder) : -len(end)] for name in sorted(bundle.manifest.files) if name.startswith(folder))
    return (*bundle.manifest.graphs, *(stem for stem in stems if RESIZE.fullmatch(stem)))


def plan_path(bundle: Path, flavour: str, precision: str, graph: str) -> Path:
    """Where the plan of a bundle's graph lies."""
    return bundle / "engines" / flavour / precision / f"{graph}.plan"


def record_path(plan: Path) -> Path:
    """The record beside a plan."""
    return plan.with_name(f"{plan.name}.json")


def read_record(plan: Path) -> PlanRecord:
    """The record beside a plan. Raises EngineError where it is missing, damaged, or of a newer csflow."""
    path = record_path(plan)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise EngineError(f"{path} is missing, so nothing says what {plan.name} was built from: {REBUILD}") from None
    try:
        mapping = schema.parse_json(data)
        if isinstance(mapping, dict):
            mapping.pop("status", None)  # in records of csflow 0.1, where it never changed
        return schema.from_mapping(PlanRecord, mapping)
    except schema.SchemaError as error:
        raise EngineError(f"{path}: {error}; {REBUILD}") from None


def read_plan(
    plan: Path, *, flavour: str, library_version: str, gpu_cc: str | None, onnx_sha256: str
) -> tuple[PlanRecord, bytes]:
    """A plan that fits this machine and the bundle's graph, checked before a byte of it reaches TensorRT.

    Raises EngineMismatch as `check_plan` does; EngineError where plan or record are missing or damaged.
    """
    record = read_record(plan)
    try:
        header = read_plan_header(plan)
    except FileNotFoundError:
        raise EngineError(f"there is no plan {plan}: {REBUILD}") from None
    check_plan(record, header, library_version=library_version, gpu_cc=gpu_cc, onnx_sha256=onnx_sha256, flavour=flavour)
    data = plan.read_bytes()
    if hashlib.sha256(data).hexdigest() != record.plan_sha256:
        raise EngineError(f"{plan} is not what was built (its SHA-256 differs from its record): {REBUILD}")
    return record, data


def check_plan(
    record: PlanRecord,
    header: PlanHeader,
    library_version: str,
    gpu_cc: str | None,
    onnx_sha256: str,
    *,
    flavour: str,
) -> None:
    """Refuse, in words and before anything deserialises it, a plan that is not for this machine or this graph.

    Args:
        library_version: of the TensorRT that would load it, for example '10.3.0'.
        gpu_cc: compute capability of the GPU that would run it, for example '8.7'; None where there is none.
        onnx_sha256: of the graph that the bundle holds now.
        flavour: 'tensorrt' or 'tensorrt-rtx', of the library that would load it.

    Raises EngineMismatch naming what differs and what to do.
    """
    for problem in (
        _other_graph(record, onnx_sha256),
        _other_writer(record, header),
        _other_library(record, header, flavour, library_version),
        _other_gpu(record, header, gpu_cc),
    ):
        if problem:
            raise EngineMismatch(f"the {record.graph} plan {problem}: {REBUILD}")


def _other_graph(record: PlanRecord, onnx_sha256: str) -> str:
    if record.onnx_sha256 == onnx_sha256:
        return ""
    return (
        f"was built from another graph (ONNX {record.onnx_sha256[:12]}) than graphs/{record.precision}/"
        f"{record.graph}.onnx is now ({onnx_sha256[:12]})"
    )


def _other_writer(record: PlanRecord, header: PlanHeader) -> str:
    if (record.flavour, _numbers(record.version)) == (header.flavour, header.version[: len(_numbers(record.version))]):
        return ""
    return (
        f"and its record do not belong together: the plan is of {header.flavour} {header.version_text}, "
        f"the record of {record.flavour} {record.version}"
    )


def _other_library(record: PlanRecord, header: PlanHeader, flavour: str, version: str) -> str:
    if flavour != header.flavour:
        return f"is of {header.flavour}, the library here is {flavour}"
    here = _numbers(version)
    written = header.version[: len(here)]
    if here == written or (record.options.version_compatible and here > written):
        return ""
    return f"was built by {flavour} {header.version_text}, the library here is {version}, and versions do not mix"


def _other_gpu(record: PlanRecord, header: PlanHeader, gpu_cc: str | None) -> str:
    if gpu_cc is None:
        return "needs an NVIDIA GPU, and none was found"
    if record.flavour == "tensorrt" and record.machine != platform.machine():
        return f"was built on {record.machine}, this is {platform.machine()}"
    runs_on = header.compute_capabilities or record.compute_capabilities
    if gpu_cc in runs_on or _at_least(gpu_cc, runs_on, record.options.hardware_compatible):
        return ""
    return f"is for GPUs of compute capability {', '.join(runs_on) or 'none'}, this one has {gpu_cc}"


def _at_least(gpu_cc: str, runs_on: tuple[str, ...], level: str | None) -> bool:
    capability = _numbers(gpu_cc)
    return ("above 12.0" in runs_on and capability > (12, 0)) or (level == "ampere-plus" and capability >= (8, 0))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])
