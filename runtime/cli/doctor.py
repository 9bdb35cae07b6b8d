"""`csflow doctor`: what this machine can do, and the command that closes each gap."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from csflow.runtime.cli.command import Command, echo_json

__all__ = ["doctor"]

EXAMPLES = (
    "csflow doctor",
    "csflow doctor --bundle model.csflow --json",
)

COLOURS = {"ok": "green", "missing": "yellow", "warning": "red"}


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--bundle",
    envvar="CSFLOW_BUNDLE",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Say also what this bundle lacks; also taken from CSFLOW_BUNDLE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.pass_context
def doctor(ctx: click.Context, bundle: Path | None, as_json: bool) -> None:
    """Say what this machine can do and which command closes each gap.

    Drivers and GPU libraries are asked in child processes with a time limit, so that a broken one cannot hang this.
    The exit code is 0 whatever is missing, and 1 when a check itself failed.
    """
    from csflow.runtime.doctor.examination import examination_lines, examine
    from csflow.runtime.machine.machine import Machine

    found = examine(Machine(), bundle)
    if as_json:
        echo_json(asdict(found))
    else:
        for line in examination_lines(found.findings):
            status = line.split(" ", 1)[0]
            click.echo(click.style(status, fg=COLOURS.get(status)) + line[len(status) :])
    ctx.exit(1 if found.broken else 0)
