"""`csflow cameras`: every camera that this machine sees, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict

import click

from csflow.runtime.cli.command import Command, echo_json

__all__ = ["cameras"]

EXAMPLES = (
    "csflow cameras",
    "csflow cameras --json",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def cameras(as_json: bool) -> None:
    """List every camera that this machine sees, as --camera takes it, and what is wrong with each.

    Looks at V4L2 and CSI devices, at the GenTL producers that GENICAM_GENTL64_PATH names, and through Aravis where
    its tool is installed. Producers are asked in a process of their own, with a time limit. The exit code is 0
    whatever is found.
    """
    from csflow.runtime.doctor.cameras import camera_lines, see_cameras
    from csflow.runtime.machine.machine import Machine

    seen = see_cameras(Machine())
    if as_json:
        echo_json(asdict(seen))
        return
    for line in camera_lines(seen):
        click.echo(line)
