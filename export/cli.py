"""`csflow export`: ONNX graphs into the bundle, through the decision gate."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.gated_export import GatedExport

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@click.option("--int8", is_flag=True, help="Make the flow in INT8 too; kept if it passes the gate and is faster.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Good and defective pictures for the gate, good ones for the INT8 ranges; layouts as for csflow train.",
)
@click.option("--no-verify", is_flag=True, help="Skip the gate; csflow run then refuses the graphs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, int8: bool, images: Path | None, no_verify: bool, as_json: bool) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and prove that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The proof is that of
    csflow verify: with the golden frames of the bundle, and the pictures in --images.
    """
    if missing := [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]:
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    if no_verify and (int8 or images):
        raise click.UsageError("--no-verify makes no use of --int8 and --images: INT8 is kept only if it passes.")
    from csflow.export.gated_export import gated, unverified
    from csflow.export.onnx_export import make_graphs
    from csflow.runtime.bundle import Bundle
    from csflow.toolkit.data import load_dataset
    from csflow.toolkit.progress import TerminalReporter

    opened = Bundle.open(bundle)
    dataset = load_dataset(images) if images else None
    graphs = make_graphs(opened)
    if no_verify:
        files, remove = unverified(opened, graphs)
        opened.update(files, remove)
        _print_sizes(bundle, graphs, as_json)
        return
    made = gated(opened, graphs, dataset, int8, TerminalReporter().images if images else None)
    opened.update(made.files, made.remove)
    _print_json(bundle, made) if as_json else _print(made)


def _print_sizes(bundle: str, graphs: dict[str, bytes], as_json: bool) -> None:
    sizes = {name: len(data) for name, data in graphs.items()}
    if as_json:
        click.echo(json.dumps({"bundle": bundle, "bytes": sizes, "verification": None, "int8": None}))
        return
    _print_graphs(graphs)
    click.echo("not verified (--no-verify): csflow run refuses these graphs until 'csflow verify' has passed them")


def _print_graphs(files: dict[str, bytes]) -> None:
    from csflow.export.onnx_export import OPSET

    for name, data in files.items():
        if name.endswith(".onnx"):
            click.echo(f"{name}: {len(data) / 1e6:.1f} MB, opset {OPSET}")


def _print(made: GatedExport) -> None:
    from csflow.export.verification_report import summary_lines

    _print_graphs(made.files)
    for line in summary_lines(made.report):
        click.echo(line)
    if made.int8:
        click.echo(f"INT8 {'kept' if made.int8.kept else 'NOT kept'}: {made.int8.reason}")
        for name, seconds in made.int8.seconds.items():
            click.echo(f"  {name}: {seconds * 1e3:.1f} ms a frame")


def _print_json(bundle: str, made: GatedExport) -> None:
    from dataclasses import asdict

    from csflow.export.verification_report import to_json

    sizes = {name: len(data) for name, data in made.files.items() if name.endswith(".onnx")}
    outcome = asdict(made.int8) if made.int8 else None
    click.echo(json.dumps({"bundle": bundle, "bytes": sizes, "verification": to_json(made.report), "int8": outcome}))
