"""The options of `csflow run` that say where results go; `csflow.runtime.line.outputs` opens what they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from csflow.runtime.line.outputs import OutputOptions

__all__ = ["output_choices", "output_options"]

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?) ?([KMGT]?B?)", value.strip().upper())
    if match is None or match[2] not in UNITS or float(match[1]) * UNITS[match[2]] < 1:
        raise click.BadParameter(f"{value!r} is no size; for example 500MB or 2GB.")
    return int(float(match[1]) * UNITS[match[2]])


OPTIONS = (
    click.option("--results", metavar="FILE", help="Append one JSON object a frame to FILE; '-' is standard output."),
    click.option(
        "--results-policy",
        type=click.Choice(["stop", "drop"]),
        default="stop",
        show_default=True,
        help="What a record that cannot be written does: it ends the run, or it is dropped and counted.",
    ),
    click.option("--csv", "csv_file", metavar="FILE", help="Append one row a frame to FILE."),
    click.option("--save", metavar="DIR", help="Write pictures with heat maps to DIR."),
    click.option("--save-raw", is_flag=True, help="Keep the camera's own picture beside each, without loss."),
    click.option(
        "--save-rule",
        default="not-ok",
        show_default=True,
        metavar="RULE",
        help="Which: all, not-ok, near (within 20 % of the reject threshold), every=N; several with commas.",
    ),
    click.option(
        "--save-budget", callback=_bytes, metavar="SIZE", help="Delete the oldest pictures beyond it, for example 2GB."
    ),
    click.option(
        "--output",
        metavar="URI",
        help="Pulse a digital output for each verdict: 'gpio:/dev/gpiochip0?ok=17&nok=27&pulse_ms=100'; ok energises "
        "to pass, nothing moves at ERROR; busy=22 is active while a verdict is awaited.",
    ),
    click.option(
        "--mqtt", envvar="CSFLOW_MQTT", metavar="URL", help="Publish to mqtt[s]://user:password@host/PREFIX/result."
    ),
    click.option("--webhook", envvar="CSFLOW_WEBHOOK", metavar="URL", help="POST results as JSON to http[s]://..."),
    click.option(
        "--webhook-rule", default="not-ok", show_default=True, metavar="RULE", help="Which results; as --save-rule."
    ),
    click.option(
        "--serve",
        metavar="HOST:PORT",
        help="Serve the live page and /metrics, for example on 127.0.0.1:8080; others than this machine need the token "
        "that CSFLOW_SERVE_TOKEN holds.",
    ),
    click.option(
        "--labels",
        metavar="DIR",
        help="Let whoever has the token in CSFLOW_OPERATOR_TOKEN say on the live page whether a verdict was right; "
        "picture and word go to DIR, as by csflow label.",
    ),
    click.option(
        "--also",
        multiple=True,
        metavar="NAME=URL",
        help="Show another run on that page too, by the address of its --serve: 'line 2=http://10.0.0.2:8080'. "
        "Repeat it for several; the token of their pages is in CSFLOW_ALSO_TOKEN.",
    ),
    click.option(
        "--language",
        metavar="LANGUAGE",
        show_default="as the browser is set",
        help="Language of that page for who has chosen none: en, de, or a JSON file of its words.",
    ),
    click.option(
        "--shift",
        metavar="FILE",
        help="Keep the counters of that page's shift in FILE: they go on where the run starts anew.",
    ),
    click.option(
        "--history", metavar="DIR", help="Keep results in Parquet files by line and day, which csflow history asks."
    ),
    click.option(
        "--line",
        metavar="NAME",
        show_default="the host's name",
        help="Name of this line, in the history and on the live page.",
    ),
    click.option(
        "--history-budget", callback=_bytes, metavar="SIZE", help="Delete the oldest files beyond it, for example 10GB."
    ),
    click.option(
        "--shadow",
        type=(str, str),
        metavar="BUNDLE DIR",
        help="Let a second bundle judge every part too. Its verdicts are recorded in DIR, with the pictures on which "
        "the two differ, and never acted on.",
    ),
    click.option("--log", "log_file", metavar="FILE", help="Append log lines to FILE; it rotates, 60 MB at most."),
)


def output_options(function: Any) -> Any:
    """Add the options; the body gets them under the names of `OutputOptions`."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def output_choices(values: Mapping[str, Any]) -> OutputOptions:
    """What the options ask for, among all values that the body of the command got."""
    from csflow.runtime.line.outputs import OutputOptions

    names = OutputOptions.__dataclass_fields__
    chosen = {name: value for name, value in values.items() if name in names}
    return OutputOptions(**chosen, lines=not values["quiet"])
