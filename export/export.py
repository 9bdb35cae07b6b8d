"""A whole export in its steps: what can be had here, graphs through the gate, camera formats, engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csflow.export.gate.choice import GateChoice
from csflow.export.plans.build.options import EngineChoice
from csflow.export.plans.export import Builder, Engines, export_engines, has_graphs, prepare_engines
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install

if TYPE_CHECKING:
    from csflow.export.gate.verify import Progress
    from csflow.export.gate.write_graphs import GraphExport
    from csflow.export.triton.repository import Written

__all__ = ["ExportReport", "ExportRequest", "export_bundle"]

GRAPH_LIBRARIES = ("torch", "timm", "onnx", "onnxscript")


@dataclass(frozen=True)
class ExportRequest:
    """What the user wants."""

    fp32: bool = False
    """Engines of the float32 graphs beside those of half precision, where a target is named."""
    fp16: bool = False
    """Graphs in half precision, and engines from them."""
    camera_formats: tuple[str, ...] = ()
    """Each 'WxH': pictures that the GPU crops and resizes."""
    triton: Path | None = None
    """The model repository of a Triton server that the graphs are written to as well."""
    triton_model: str | None = None
    """The model's name there; None takes the bundle's."""
    gate: GateChoice = field(default_factory=GateChoice)
    engines: EngineChoice = field(default_factory=EngineChoice)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Precisions of the graphs; OpenVINO and the gate need float32 always."""
        return ("fp32", "fp16") if self.fp16 else ("fp32",)

    @property
    def plans(self) -> tuple[str, ...]:
        """Precisions of the engines; both only for who names a target."""
        both = self.fp32 and self.engines.target != "auto"
        return ("fp16", "fp32") if self.fp16 and both else ("fp16",) if self.fp16 else ("fp32",)


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    graphs: GraphExport | None
    """None where the graphs stayed as they were."""
    missing: tuple[str, ...]
    """Libraries without which graphs cannot be written."""
    camera_formats: dict[str, int] | None
    """Bytes of each resize graph; None where onnx is not installed."""
    engines: tuple[Engines, ...] = ()
    triton: tuple[Written, ...] = ()
    """What a Triton server shall serve."""

    def facts(self) -> dict[str, Any]:
        """For programs."""
        formats = {} if self.camera_formats is None else {"camera_formats": self.camera_formats}
        records = [asdict(record) for each in self.engines for record in each.records]
        skipped = self.engines[0].skipped if self.engines else ""
        triton = {"triton": [asdict(written) for written in self.triton]} if self.triton else {}
        graphs = self.graphs.facts() if self.graphs else {}
        return {**graphs, **formats, "engines": records, "no_engines": skipped, **triton}

    def require_passed(self) -> None:
        """Raise EngineMismatch where an engine failed the gate that a line would use."""
        if self.graphs is not None and self.graphs.report is not None:
            from csflow.export.gate.report import require_passed

            require_passed(self.graphs.report)

    def graph_lines(self) -> list[str]:
        """About the graphs, for people."""
        needed = f"writing them needs {', '.join(self.missing)} ({pip_install('export')})"
        lines = self.graphs.lines() if self.graphs else [f"the graphs stay as they are: {needed}"]
        return [*lines, *(f"{name}: {size / 1e6:.1f} MB" for name, size in (self.camera_formats or {}).items())]

    def engine_lines(self) -> list[str]:
        """About the engines, for people."""
        lines = [line for each in self.engines for line in each.lines()]
        for model in self.triton:
            was = "written" if model.new else "there already"
            lines.append(f"Triton model {model.model}, version {model.version}, by {model.backend}: {was}")
        return lines


def export_bundle(
    path: str | Path,
    request: ExportRequest,
    progress: Progress | None = None,
    graphs_done: Callable[[ExportReport], None] | None = None,
    quiet: bool = False,
) -> ExportReport:
    """Write graphs through the decision gate, and engines from them; what cannot be done is refused before the first.

    Args:
        path: the bundle.
        progress: bars for the gate, as `csflow.export.gate.verify.verify` takes them.
        graphs_done: called before the engines are built, which takes minutes.
        quiet: whether no progress of the engines is shown.

    Raises:
        BackendUnavailable: a library, or the target that was named, is not here.
        ConfigError: a camera format or an option that cannot be.
        EngineMismatch: the float32 graphs do not decide as the trained model.
        BundleError, DataError, EngineError, SinkError: as the steps do.
    """
    bundle = Bundle.open(path)
    bundle.require_writable()
    request.gate.require_possible(bundle)
    missing = tuple(name for name in GRAPH_LIBRARIES if find_spec(name) is None)
    builders = {precision: prepare_engines(precision, request.engines) for precision in request.plans}
    _require_libraries(bundle, request, missing, builders)
    model = _triton_model(bundle, request)
    formats = _parsed(request.camera_formats)
    graphs = None if missing else _write_graphs(bundle, request, progress)
    report = ExportReport(graphs, missing, _write_formats(path, formats, request.plans))
    if graphs_done is not None:
        graphs_done(report)
    built = [export_engines(Bundle.open(path), p, request.engines, b, quiet) for p, b in builders.items()]
    report = replace(report, engines=tuple(built))
    if request.triton is None:
        return report
    from csflow.export.triton.repository import write_repository

    # A server may load at once what is written.
    report.require_passed()
    written = write_repository(Bundle.open(path), request.triton, request.graphs[-1], model)
    return replace(report, triton=written)


def _triton_model(bundle: Bundle, request: ExportRequest) -> str:
    """The name of the model on a Triton server, before minutes are spent on what it is made of; empty for none."""
    if request.triton is None:
        return ""
    if absent := [name for name in ("onnx", "jinja2") if find_spec(name) is None]:
        raise BackendUnavailable(f"--triton needs {', '.join(absent)}: {pip_install('export')}")
    from csflow.export.triton.repository import model_name

    return model_name(bundle.path, request.triton_model)


def _require_libraries(
    bundle: Bundle, request: ExportRequest, missing: Sequence[str], builders: dict[str, Builder]
) -> None:
    """Without torch only engines can be made, from the graphs that are there."""
    only_engines = all(b.library and has_graphs(bundle, p) for p, b in builders.items())
    if missing and (request.gate.int8 or not only_engines):
        absent = next(iter(builders.values())).absent
        needed = f"export needs {', '.join(missing)}: {pip_install('export')}"
        raise BackendUnavailable(f"{needed}; {absent}" if absent else needed)


def _parsed(camera_formats: Sequence[str]) -> list[tuple[int, int]]:
    if not camera_formats:
        return []
    if find_spec("onnx") is None:
        raise BackendUnavailable("--camera-format needs onnx: pip install onnx")
    from csflow.export.graphs.resize_graph import parse_format

    return [parse_format(text) for text in camera_formats]


def _write_graphs(bundle: Bundle, request: ExportRequest, progress: Progress | None) -> GraphExport:
    from csflow.export.gate.write_graphs import write_graphs

    return write_graphs(bundle, request.graphs, request.gate, progress if request.gate.images else None)


def _write_formats(
    path: str | Path, formats: Sequence[tuple[int, int]], precisions: Sequence[str]
) -> dict[str, int] | None:
    if find_spec("onnx") is None:
        return None
    from csflow.export.graphs.resize_graph import write_resizes

    written: dict[str, int] = {}
    for precision in precisions:
        written |= write_resizes(Bundle.open(path), formats, precision)
    return written
