"""`csflow export`: ONNX graphs into the bundle, checked."""

from __future__ import annotations

import json
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
    from csflow.export.onnx_export import export_graphs
    from csflow.export.verify import check_export
    from csflow.runtime.bundle import Bundle

    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if not as_json:
            click.echo(line)

    opened = export_graphs(Bundle.open(bundle), say)
    report: dict[str, object] = {"bundle": bundle, "graphs": lines[:]}
    if find_spec("openvino") is None:
        report["checked"] = False
        say("not checked: OpenVINO is not installed (pip install 'csflow[openvino]')")
    else:
        check = check_export(opened)
        report |= {"checked": True, "frames": check.frames, "flips": check.flips, "score_error": check.score_error}
        say(
            f"checked with OpenVINO on {check.frames} golden frames: {check.flips} verdicts differ, "
            f"largest score error {check.score_error:.2e}"
        )
    if as_json:
        click.echo(json.dumps(report))
