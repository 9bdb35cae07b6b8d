"""`csflow export`: ONNX graphs into the bundle, checked, and TensorRT engines built from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from csflow.export.cli_engines import engine_options
from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.build_options import EngineChoice
    from csflow.export.cost import Saving
    from csflow.runtime.bundle import Bundle
    from csflow.runtime.golden import GoldenCheck

__all__ = ["export"]


@click.command(cls=Command)
@bundle_option
@click.option("--fp32", is_flag=True, expose_value=False, help="Write float32 graphs, for OpenVINO: always done.")
@click.option("--fp16", is_flag=True, help="Write half-precision graphs too, for TensorRT.")
@click.option(
    "--camera-format",
    "camera_formats",
    multiple=True,
    metavar="WxH",
    help="Crop and resize pictures of this size on the GPU, for example 1920x1080; may be repeated.",
)
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def export(bundle: str, fp16: bool, camera_formats: tuple[str, ...], engines: EngineChoice, as_json: bool) -> None:
    """Write backbone.onnx and flow.onnx into the bundle and check that they decide as the trained model does.

    The graphs take uint8 frames (N, S, S, 3) RGB and give score and anomaly map, opset 20. The check runs the
    bundle's golden frames through OpenVINO in float32.

    With --fp16, TensorRT engines are built too, where a TensorRT can build here. On a device without torch the graphs
    that the bundle holds are built.
    """
    from csflow.export.engine_export import export_engines, has_graphs
    from csflow.runtime.bundle import Bundle

    opened, precision = Bundle.open(bundle), "fp16" if fp16 else "fp32"
    missing = [name for name in ("torch", "timm", "onnx", "onnxscript") if find_spec(name) is None]
    builds = (fp16 or engines.target != "auto") and not engines.skip
    if missing and not (builds and has_graphs(opened, precision)):
        raise BackendUnavailable(f"export needs {', '.join(missing)}: pip install 'csflow[export]'")
    formats = _parsed(camera_formats)
    facts, lines = _write_graphs(opened, fp16) if not missing else _kept_graphs(missing)
    if find_spec("onnx"):
        from csflow.export.resize_graph import write_resizes

        facts["camera_formats"] = write_resizes(Bundle.open(bundle), formats, precision)
        lines += _size_lines(facts["camera_formats"])
    if not as_json:
        click.echo("\n".join(lines))
    built = export_engines(Bundle.open(bundle), precision, engines, quiet=as_json)
    if as_json:
        records = [asdict(record) for record in built.records]
        click.echo(json.dumps({"bundle": bundle, **facts, "engines": records, "no_engines": built.skipped}))
    elif built.lines():
        click.echo("\n".join(built.lines()))


def _parsed(camera_formats: Sequence[str]) -> list[tuple[int, int]]:
    if not camera_formats:
        return []
    if find_spec("onnx") is None:
        raise BackendUnavailable("--camera-format needs onnx: pip install onnx")
    from csflow.export.resize_graph import parse_format

    return [parse_format(text) for text in camera_formats]


def _kept_graphs(missing: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    return {}, [f"the graphs stay as they are: writing them needs {', '.join(missing)} (pip install 'csflow[export]')"]


def _write_graphs(opened: Bundle, fp16: bool) -> tuple[dict[str, Any], list[str]]:
    """What was written, for programs and for people."""
    from csflow.export.cost import fold_savings
    from csflow.export.onnx_export import make_graphs
    from csflow.export.verify import check_graphs
    from csflow.toolkit.config import ModelConfig

    graphs = make_graphs(opened, ("fp32", "fp16") if fp16 else ("fp32",))
    check = check_graphs(opened, graphs) if find_spec("openvino") else None
    savings = fold_savings(ModelConfig.from_bundle(opened.manifest.model))
    opened.update(graphs)
    sizes = {name: len(data) for name, data in graphs.items()}
    facts = {"bytes": sizes, "folds": [asdict(s) for s in savings], "check": asdict(check) if check else None}
    return facts, [*_fold_lines(savings), *_size_lines(sizes), _check_line(check)]


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
