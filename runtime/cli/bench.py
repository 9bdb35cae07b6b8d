"""`csflow bench`: whether this machine is fast enough for a line."""

from __future__ import annotations

import re
import sys

import click

from csflow.runtime.cli.command import Command, backend_option, bundle_option, echo_json

__all__ = ["bench"]

EXAMPLES = (
    "csflow bench --bundle model.csflow",
    "csflow bench --size 1920x1080 --fps 10 --latency-ms 80",
    "csflow bench --backend 'openvino?threads=2' --json",
    "csflow bench --backend openvino-fp32 --profile",
)


def _size(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no size: expected WIDTHxHEIGHT in pixels, for example 1920x1080")
    return int(match[1]), int(match[2])


@click.command(cls=Command, examples=EXAMPLES)
@bundle_option
@backend_option("auto", "Engine that judges. ")
@click.option(
    "--size",
    callback=_size,
    metavar="WxH",
    help="The camera's pictures in pixels.  [default: as large as the training's]",
)
@click.option(
    "--fps", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Pictures a second that must be judged."
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="Longest time to a verdict, which 99 of 100 must keep.",
)
@click.option("--pictures", type=click.IntRange(1, 100000), default=200, show_default=True, help="How many are judged.")
@click.option("--profile", "profiled", is_flag=True, help="Say what each layer takes, too; OpenVINO only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    bundle: str,
    backend: str,
    size: tuple[int, int] | None,
    fps: float | None,
    latency_ms: float | None,
    pictures: int,
    profiled: bool,
    as_json: bool,
) -> None:
    """Time the bundle's verdicts on this machine, and say whether a line's camera and deadline fit.

    Pictures of noise, of the camera's size, go through crop, resize, engine and thresholds as those of csflow run do;
    camera and outputs come on top. The exit code is 1 where they do not fit.
    """
    from csflow.runtime.detector import Detector
    from csflow.runtime.doctor.layers import profile
    from csflow.runtime.doctor.speed import Demand, measure, usual_size

    demand = Demand(fps, None if latency_ms is None else latency_ms / 1e3)
    with (
        Detector.open(bundle, backend, unverified=True, any_size=True) as detector,
        click.progressbar(length=pictures, label="Judging pictures", file=sys.stderr) as bar,
    ):
        speed = measure(detector, size or usual_size(detector), pictures, bar.update)
        layers = profile(detector) if profiled else None
    if as_json:
        echo_json({**speed.facts(demand), **({"layers": layers.facts()} if layers else {})})
    else:
        click.echo("\n".join([*speed.lines(demand), *(layers.lines() if layers else ())]))
    ctx.exit(0 if speed.fits(demand) else 1)
