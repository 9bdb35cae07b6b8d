"""The options of `csflow run` about cameras, waiting and checks, and what is made of all its options."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Share
from csflow.runtime.cli.run_outputs import output_choices

if TYPE_CHECKING:
    from csflow.runtime.line.inspection import Inspection
    from csflow.runtime.line.stream import StreamPolicy

__all__ = ["camera_options", "inspection", "stream_options", "stream_policy"]

LONGEST_TIMEOUT_S = 604800.0


def _seconds(_ctx: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not 0.1 <= value <= LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"{value:g} does not lie between 0.1 and {LONGEST_TIMEOUT_S:g} seconds (a week).")
    return value


def _strip(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,5}),([0-9]{1,5})", text)
    if found is None or int(found[2]) >= int(found[1]):
        raise click.BadParameter(
            f"{text!r} is no strip: expected HEIGHT,OVERLAP in rows, the overlap below the height, for example 2048,256"
        )
    return int(found[1]), int(found[2])


OF = {
    "results_policy": ("results",),
    "save_raw": ("save",),
    "save_rule": ("save",),
    "save_budget": ("save",),
    "webhook_rule": ("webhook",),
    "history_budget": ("history",),
    "line": ("history", "serve"),
}
"""What an option is about."""
_CAMERA_OPTIONS = (
    click.option(
        "--timeout",
        type=float,
        callback=_seconds,
        default=5.0,
        show_default=True,
        metavar="S",
        help="Longest time in seconds without a good frame, 0.1 to 604800.",
    ),
    click.option(
        "--reconnect",
        type=click.FloatRange(min=0),
        default=math.inf,
        show_default="without end",
        metavar="S",
        help="How long in seconds a camera that is lost, or not there yet, is tried again; 0 ends the run at once.",
    ),
    click.option(
        "--warm-up",
        type=click.FloatRange(0, 60),
        metavar="S",
        help="Pictures of S seconds after a camera was opened are not judged: its exposure settles.  [default: 1 for "
        "V4L2, CSI and GenICam cameras, else 0]",
    ),
    click.option(
        "--strip",
        callback=_strip,
        metavar="HEIGHT,OVERLAP",
        help="Join the pictures of a line camera and cut the strip into pieces of HEIGHT rows, each of which begins "
        "with the last OVERLAP rows of the one before.",
    ),
)
_OPTIONS = (
    click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames."),
    *_CAMERA_OPTIONS,
    click.option(
        "--queue",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        metavar="N",
        help="Frames of a camera that may wait; beyond it the oldest is dropped. 1 is the newest frame.",
    ),
    click.option(
        "--deadline-ms",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MS",
        help="No verdict so long after the capture (or trigger) is an ERROR; with --trigger 1000 by default.",
    ),
    click.option(
        "--trigger",
        metavar="SOURCE",
        help="Give a result only when asked, and one each time: stdin (a line each), http://127.0.0.1:8500, "
        "gpio:/dev/gpiochip0:17, camera (a genicam: or pylon: camera's input) or pipe: (messages of a supervisor).",
    ),
    click.option(
        "--max-age",
        type=click.FloatRange(min=0),
        default=2.0,
        show_default=True,
        metavar="S",
        help="A camera's frame older than this in seconds is an ERROR; 0 for no limit.",
    ),
    click.option(
        "--frozen",
        type=click.IntRange(min=0),
        default=10,
        show_default=True,
        metavar="N",
        help="N frames of a camera with the same bytes are an ERROR; 0 for any number.",
    ),
    click.option(
        "--exposure",
        type=Share(0, 1),
        default="90%",
        show_default=True,
        help="A picture in which this share of what the training pictures show is black or white is an ERROR; 0 never.",
    ),
    click.option(
        "--blur",
        type=Share(0, 1),
        default="20%",
        show_default=True,
        help="A picture with less than this share of the training pictures' sharpness is an ERROR; 0 never.",
    ),
    click.option(
        "--any-size",
        is_flag=True,
        help="Judge pictures of another aspect or far smaller than the training's too; else they are an ERROR.",
    ),
)


def camera_options(function: Any) -> Any:
    """Add the options about waiting for a camera to a command; its body receives them by name."""
    for option in reversed(_CAMERA_OPTIONS):
        function = option(function)
    return function


def stream_options(function: Any) -> Any:
    """Add the options to a command; its body receives them by name."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def inspection(options: Mapping[str, Any]) -> Inspection:
    """The run that the options of `csflow run` ask for. Raises UsageError where they contradict each other."""
    from csflow.runtime.line.cameras import CameraPolicy
    from csflow.runtime.line.inspection import Inspection

    _refuse_contradictions(options)
    return Inspection(
        cameras=options["cameras"],
        bundle=options["bundle"],
        backend=options["backend"],
        unverified=options["unverified"],
        trigger=options["trigger"],
        camera_policy=CameraPolicy(options["timeout"], options["reconnect"], options["warm_up"], options["strip"]),
        policy=stream_policy(options),
        outputs=output_choices(options),
    )


def _refuse_contradictions(options: Mapping[str, Any]) -> None:
    """Standard output is for one thing, a camera is named once, and a trigger asks one camera."""
    cameras, trigger = options["cameras"], options["trigger"]
    if options["results"] == "-" and options["as_json"]:
        raise click.UsageError("--results - and --json both want standard output: give --results a file")
    if trigger == "pipe:" and (options["results"] == "-" or options["as_json"]):
        raise click.UsageError("--trigger pipe: needs standard output for itself: give --results a file, leave --json")
    if options["labels"] is not None and options["serve"] is None:
        raise click.UsageError("--labels is for the live page: serve one with --serve 127.0.0.1:8080")
    for name in ("also", "language", "shift"):
        if options[name] and options["serve"] is None:
            raise click.UsageError(f"--{name} is for the live page: serve one with --serve 127.0.0.1:8080")
    _refuse_alone(options)
    if options["strip"] is not None and trigger is not None:
        raise click.UsageError("--strip takes a camera's pictures as they come: leave --trigger")
    if len(set(cameras)) < len(cameras):
        raise click.UsageError("a camera is named twice: name each once")
    if trigger is not None and len(cameras) > 1:
        raise click.UsageError("--trigger asks one camera: start one csflow run for each")


def _refuse_alone(options: Mapping[str, Any]) -> None:
    """Options that say how another one is meant do nothing without it."""
    from csflow.runtime.line.outputs import OutputOptions

    for name, others in OF.items():
        said = options[name] != OutputOptions.__dataclass_fields__[name].default
        if said and all(options[other] is None for other in others):
            which = " or ".join(f"--{other}" for other in others)
            raise click.UsageError(f"--{name.replace('_', '-')} is about {which}: give that too")


def stream_policy(options: Mapping[str, Any]) -> StreamPolicy:
    """How a run with these options treats frames."""
    from csflow.runtime.line.frame_health import HealthLimits
    from csflow.runtime.line.stream import StreamPolicy

    deadline_ms = options["deadline_ms"]
    return StreamPolicy(
        depth=options["queue"],
        deadline_s=None if deadline_ms is None else deadline_ms / 1e3,
        health=HealthLimits(
            options["max_age"], options["frozen"], options["exposure"], options["blur"], not options["any_size"]
        ),
        silence_s=options["timeout"],
        max_results=options["frames"],
    )
