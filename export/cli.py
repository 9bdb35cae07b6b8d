"""`csflow export`: ONNX graphs into the bundle, checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.cost import Saving
    from csflow.runtime.golden import GoldenCheck

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@click.option("--fp32", is_flag=True, expose_value=False, help="Write float32 graphs, for OpenVINO: always done.")
@click.option("--fp16", is_flag=True, help="Write half-precision graphs too, for TensorRT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, fp16: bool, as_json: bool) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and check that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The check runs the
    bundle's golden frames through OpenVINO in float32.
    """
    if missing := [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]:
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    from csflow.export.cost import fold_savings
    from csflow.export.onnx_export import make_graphs
    from csflow.export.verify import check_graphs
    from csflow.runtime.bundle import Bundle
    from csflow.toolkit.config import ModelConfig

    opened = Bundle.open(bundle)
    graphs = make_graphs(opened, ("fp32", "fp16") if fp16 else ("fp32",))
    check = check_graphs(opened, graphs) if find_spec("openvino") else None
    savings = fold_savings(ModelConfig.from_bundle(opened.manifest.model))
    opened.update(graphs)
    sizes = {name: len(data) for name, data in graphs.items()}
    if as_json:
        facts = {"bytes": sizes, "folds": [asdict(s) for s in savings], "check": asdict(check) if check else None}
        click.echo(json.dumps({"bundle": bundle, **facts}))
    else:
        click.echo("\n".join((*_fold_lines(savings), *_size_lines(sizes), _check_line(check))))


def _fold_lines(savings: Sequence[Saving]) -> list[str]:
    return [f"folded, {s.graph}: {s.fold}: saves {_cost_text(s)}" for s in savings]


def _cost_text(saving: Saving) -> str:
    saved, before = saving.saved, saving.before
    parts = (
        f"{saved.operators} of {before.operators} operators",
        f"{saved.multiplications / 1e6:,.1f} of {before.multiplications / 1e6:,.1f} million multiplications",
        f"{saved.parameters:,} of {before.parameters:,} parameters",
    )
    return ", ".join(parts)


def _size_lines(sizes: dict[str, int]) -> list[str]:
    return [f"{name}: {size / 1e6:.1f} MB" for name, size in sizes.items()]


def _check_line(check: GoldenCheck | None) -> str:
    if check is None:
        return "not checked: OpenVINO is not installed (pip install 'csflow[openvino]')"
    return (
        f"checked with OpenVINO on {check.frames} golden frames: {check.flips} verdicts differ, "
        f"largest score error {check.score_error:.2e}"
    )
