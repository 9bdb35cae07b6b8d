"""`csflow export`: ONNX graphs into the bundle through the decision gate, and TensorRT engines from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.export.cli.engines import engine_options
from csflow.export.cli.gate import gate_options
from csflow.runtime.cli.command import Command, bundle_option, echo_json, pixels_option

if TYPE_CHECKING:
    from csflow.export.gate.choice import GateChoice
    from csflow.export.plans.build.options import EngineChoice

__all__ = ["export"]

EXAMPLES = (
    "csflow export",
    "csflow export --images images/",
    "csflow export --fp16 --camera-format 1920x1080",
    "csflow export --int8 --images images/",
    "csflow export --triton repository/",
)


@click.command(cls=Command, examples=EXAMPLES)
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
@click.option(
    "--triton",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the models of a Triton server into this model repository too.",
)
@click.option("--triton-model", metavar="NAME", help="The model's name there. [default: the bundle's]")
@gate_options
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(
    bundle: str,
    fp32: bool,
    fp16: bool,
    camera_formats: tuple[str, ...],
    triton: Path | None,
    triton_model: str | None,
    gate: GateChoice,
    engines: EngineChoice,
    as_json: bool,
) -> None:
    """Write the model's graphs into the bundle and prove that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The proof is that of
    csflow verify: with the golden frames of the bundle, and the pictures in --images.

    With --fp16, TensorRT engines are built too, where a TensorRT can build here. On a device without torch the graphs
    that the bundle holds are built.
    """
    from csflow.export.export import ExportReport, ExportRequest, export_bundle
    from csflow.toolkit.cli.progress import TerminalReporter

    def tell(report: ExportReport) -> None:
        if not as_json:
            click.echo("\n".join(report.graph_lines()))

    if triton_model is not None and triton is None:
        raise click.UsageError("--triton-model is for the repository of --triton.")
    request = ExportRequest(fp32, fp16, camera_formats, triton, triton_model, gate, engines)
    report = export_bundle(bundle, request, TerminalReporter().images, tell, quiet=as_json)
    if as_json:
        echo_json({"bundle": bundle, **report.facts()})
    elif lines := report.engine_lines():
        click.echo("\n".join(lines))
    report.require_passed()
    if not as_json:
        click.echo(_ready(bundle, gate.skip))


def _ready(path: str, skipped: bool) -> str:
    from csflow.runtime.bundle.calibration import load_calibration
    from csflow.runtime.bundle.directory import Bundle

    if load_calibration(Bundle.open(path)) is None:
        return f"{path} is ready but for its thresholds; next: csflow calibrate GOOD_PICTURES --bundle {path}"
    if skipped:
        return f"{path} is not verified; next: csflow verify --bundle {path}"
    return f"{path} is ready; next: csflow run --camera 0 --bundle {path}"
