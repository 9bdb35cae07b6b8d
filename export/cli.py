"""`csflow export`: ONNX graphs and TensorRT engines into the bundle, checked."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import click

from csflow.export.cli_engines import engine_options
from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, as_json: bool, engines: Any) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and check that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The check runs the
    bundle's golden frames through OpenVINO. Where the bundle has graphs in half precision and a TensorRT can build
    here, engines/ gets their plans. Without torch, the graphs that the bundle holds are built.
    """
    from csflow.export.engine_export import export_engines, has_graphs
    from csflow.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    missing = [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]
    if missing and not has_graphs(opened, "fp16"):
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    written = {"bytes": {}, "check": None} if missing else _write_graphs(opened, as_json)
    if missing and not as_json:
        click.echo(f"the graphs stay as they are: writing them needs {', '.join(missing)}")
    opened = Bundle.open(bundle)
    precision = "fp16" if has_graphs(opened, "fp16") else "fp32"
    built = export_engines(opened, precision, engines, quiet=as_json)
    if as_json:
        records = [asdict(record) for record in built.records]
        click.echo(json.dumps({"bundle": bundle, **written, "engines": records, "skipped": built.skipped}))
    for line in [] if as_json else built.lines():
        click.echo(line)


def _write_graphs(opened: Any, as_json: bool) -> dict[str, Any]:
    from csflow.export.onnx_export import OPSET, make_graphs
    from csflow.export.verify import check_graphs

    graphs = make_graphs(opened)
    check = check_graphs(opened, graphs) if find_spec("openvino") else None
    opened.update(graphs)
    if as_json:
        sizes = {name: len(data) for name, data in graphs.items()}
        return {"bytes": sizes, "check": asdict(check) if check else None}
    for name, data in graphs.items():
        click.echo(f"{name}: {len(data) / 1e6:.1f} MB, opset {OPSET}")
    if check is None:
        click.echo("not checked: OpenVINO is not installed (pip install 'csflow[openvino]')")
    else:
        click.echo(
            f"checked with OpenVINO on {check.frames} golden frames: {check.flips} verdicts differ, "
            f"largest score error {check.score_error:.2e}"
        )
    return {}
