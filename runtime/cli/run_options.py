"""The options of `csflow run` about cameras, waiting and checks, and what is made of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from csflow.runtime.line.stream import StreamPolicy
    from csflow.runtime.source import FrameSource
    from csflow.runtime.trigger import Trigger

__all__ = ["open_cameras", "stream_options", "stream_policy", "stream_trigger"]

_OPTIONS = (
    click.option(
        "--reconnect",
        type=click.FloatRange(min=0),
        default=math.inf,
        show_default="without end",
        metavar="S",
        help="How long in seconds a lost camera is tried again; 0 ends the run at once.",
    ),
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
        help="Give a result only when asked, and one each time: stdin (a line each), http://127.0.0.1:8500 or "
        "gpio:/dev/gpiochip0:17.",
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
        type=click.FloatRange(0, 1),
        default=0.9,
        show_default=True,
        metavar="SHARE",
        help="A picture in which this share of what the training pictures show is black or white is an ERROR; 0 never.",
    ),
    click.option(
        "--blur",
        type=click.FloatRange(0, 1),
        default=0.2,
        show_default=True,
        metavar="SHARE",
        help="A picture with less than this share of the training pictures' sharpness is an ERROR; 0 never.",
    ),
)


def stream_options(function: Any) -> Any:
    """Add the options to a command; its body receives them by name."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def open_cameras(
    uris: Sequence[str], timeout_s: float, reconnect_s: float, stack: contextlib.ExitStack
) -> list[FrameSource]:
    """Open every source into `stack`; cameras come back when they are lost.

    Raises as `open_source` does, and UsageError where a source is named twice.
    """
    if len(set(uris)) < len(uris):
        raise click.UsageError("a camera is named twice: name each once")
    return [stack.enter_context(_open(uri, timeout_s, reconnect_s)) for uri in uris]


def _open(uri: str, timeout_s: float, reconnect_s: float) -> FrameSource:
    from csflow.runtime.source import open_source
    from csflow.runtime.sources.reconnect import Reconnecting
    from csflow.runtime.sources.v4l2 import bound_uri

    bound = bound_uri(uri)
    source = open_source(bound, timeout_s)
    if not source.live or not reconnect_s:
        return source
    return Reconnecting(lambda: open_source(bound, timeout_s), timeout_s, reconnect_s, source)


def stream_policy(options: Mapping[str, Any], frames: int | None, timeout_s: float) -> StreamPolicy:
    """The policy that the options ask for."""
    from csflow.runtime.line.frame_health import HealthLimits
    from csflow.runtime.line.stream import StreamPolicy

    limits = HealthLimits(options["max_age"], options["frozen"], options["exposure"], options["blur"])
    deadline_ms = options["deadline_ms"]
    deadline_s = None if deadline_ms is None else deadline_ms / 1e3
    return StreamPolicy(options["queue"], deadline_s, limits, timeout_s, frames)


def stream_trigger(text: str | None, sources: Sequence[FrameSource]) -> Trigger | None:
    """The trigger that the option names, if any. Raises ConfigError, and UsageError with several cameras."""
    from csflow.runtime.trigger import open_trigger

    if text is None:
        return None
    if len(sources) > 1:
        raise click.UsageError("--trigger asks one camera: start one csflow run for each")
    return open_trigger(text)
