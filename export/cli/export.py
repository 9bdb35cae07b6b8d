"""`csflow export`: ONNX graphs into the bundle through the decision gate, and TensorRT engines from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from csflow.export.cli.engines import engine_options
from csflow.export.cli.gate import gate_options
from csflow.runtime.cli.command import Command, bundle_option, echo_json, pixels_option
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.gate.choice import GateChoice
    from csflow.export.gate.write_graphs import GraphExport
    from csflow.export.plans.build.options import EngineChoice
    from csflow.runtime.bundle.directory import Bundle

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@pixels_option
@click.option("--fp32", is_flag=True, help="Float32, the default; beside --fp16, a named --target builds both.")
@click.option("--fp16", is_flag=True, help="Write half-precision graphs too, for TensorRT.")
@click.option(
    "--camera-format",
    "camera_formats",
    multiple=True,
    metavar="WxH",
    help="Crop and resize pictures of this size on the GPU, for example 1920x1080; may be repeated.",
)
@gate_options
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(
    bundle: str,
    fp32: bool,
    fp16: bool,
    camera_formats: tuple[str, ...],
    gate: GateChoice,
    engines: EngineChoice,
    as_json: bool,
) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and prove that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The proof is that of
    csflow verify: with the golden frames of the bundle, and the pictures in --images.

    With --fp16, TensorRT engines are built too, where a TensorRT can build here. On a device without torch the graphs
    that the bundle holds are built.
    """
    from csflow.export.plans.export import export_engines, has_graphs, prepare_engines
    from csflow.runtime.bundle.directory import Bundle

    opened = Bundle.open(bundle)
    # OpenVINO and the gate need float32 graphs always; engines from them only who names a target.
    both = fp32 and engines.target != "auto"
    precisions = ("fp16", "fp32") if fp16 and both else ("fp16",) if fp16 else ("fp32",)
    missing = [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]
    builders = {precision: prepare_engines(precision, engines) for precision in precisions}
    if missing and (gate.int8 or not all(b.library and has_graphs(opened, p) for p, b in builders.items())):
        absent = next(iter(builders.values())).absent
        needed = f"export needs {', '.join(missing)}: pip install 'csflow[export]'"
        raise BackendUnavailable(f"{needed}; {absent}" if absent else needed)
    formats = _parsed(camera_formats)
    facts, lines = _kept_graphs(missing) if missing else _told(_write_graphs(opened, fp16, gate))
    if find_spec("onnx"):
        from csflow.export.graphs.resize_graph import write_resizes

        facts["camera_formats"] = {}
        for precision in precisions:
            facts["camera_formats"] |= write_resizes(Bundle.open(bundle), formats, precision)
        lines = [*lines, *(f"{name}: {size / 1e6:.1f} MB" for name, size in facts["camera_formats"].items())]
    if not as_json:
        click.echo("\n".join(lines))
    built = [export_engines(Bundle.open(bundle), p, engines, b, quiet=as_json) for p, b in builders.items()]
    if as_json:
        records = [asdict(record) for each in built for record in each.records]
        echo_json({"bundle": bundle, **facts, "engines": records, "no_engines": built[0].skipped})
    elif lines := [line for each in built for line in each.lines()]:
        click.echo("\n".join(lines))


def _parsed(camera_formats: Sequence[str]) -> list[tuple[int, int]]:
    if not camera_formats:
        return []
    if find_spec("onnx") is None:
        raise BackendUnavailable("--camera-format needs onnx: pip install onnx")
    from csflow.export.graphs.resize_graph import parse_format

    return [parse_format(text) for text in camera_formats]


def _kept_graphs(missing: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    return {}, [f"the graphs stay as they are: writing them needs {', '.join(missing)} (pip install 'csflow[export]')"]


def _told(made: GraphExport) -> tuple[dict[str, Any], list[str]]:
    return made.facts(), made.lines()


def _write_graphs(opened: Bundle, fp16: bool, gate: GateChoice) -> GraphExport:
    from csflow.export.gate.write_graphs import write_graphs
    from csflow.toolkit.cli.progress import TerminalReporter

    progress = TerminalReporter().images if gate.images else None
    return write_graphs(opened, ("fp32", "fp16") if fp16 else ("fp32",), gate, progress)
