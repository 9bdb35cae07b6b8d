"""`csflow export`: ONNX graphs into the bundle, through the decision gate."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from csflow.export.cli_gate import gate_options
from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.cli_gate import GateChoice
    from csflow.export.graph_export import GraphExport
    from csflow.runtime.bundle import Bundle

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@click.option("--fp32", is_flag=True, expose_value=False, help="Write float32 graphs, for OpenVINO: always done.")
@click.option("--fp16", is_flag=True, help="Write half-precision graphs too, for TensorRT.")
@gate_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, fp16: bool, gate: GateChoice, as_json: bool) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and prove that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The proof is that of
    csflow verify: with the golden frames of the bundle, and the pictures in --images.
    """
    if missing := [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]:
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    from csflow.runtime.bundle import Bundle

    made = _write_graphs(Bundle.open(bundle), fp16, gate)
    if as_json:
        click.echo(json.dumps({"bundle": bundle, **made.facts()}))
    else:
        click.echo("\n".join(made.lines()))


def _write_graphs(opened: Bundle, fp16: bool, gate: GateChoice) -> GraphExport:
    from csflow.export.graph_export import write_graphs
    from csflow.toolkit.progress import TerminalReporter

    progress = TerminalReporter().images if gate.images else None
    return write_graphs(opened, ("fp32", "fp16") if fp16 else ("fp32",), gate, progress)
