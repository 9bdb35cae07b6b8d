"""`csflow export`: ONNX graphs into the bundle, checked."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec

import click

from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, as_json: bool) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and check that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The check runs the
    bundle's golden frames through OpenVINO.
    """
    if missing := [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]:
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    from csflow.export.onnx_export import OPSET, make_graphs
    from csflow.export.verify import check_graphs
    from csflow.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    graphs = make_graphs(opened)
    check = check_graphs(opened, graphs) if find_spec("openvino") else None
    opened.update(graphs)
    if as_json:
        sizes = {name: len(data) for name, data in graphs.items()}
        click.echo(json.dumps({"bundle": bundle, "bytes": sizes, "check": asdict(check) if check else None}))
        return
    for name, data in graphs.items():
        click.echo(f"{name}: {len(data) / 1e6:.1f} MB, opset {OPSET}")
    if check is None:
        click.echo("not checked: OpenVINO is not installed (pip install 'csflow[openvino]')")
    else:
        click.echo(
            f"checked with OpenVINO on {check.frames} golden frames: {check.flips} verdicts differ, "
            f"largest score error {check.score_error:.2e}"
        )
