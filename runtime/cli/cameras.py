"""`csflow cameras`: every camera that this machine sees, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from csflow.runtime.cli.command import Command, echo_json

__all__ = ["cameras"]

EXAMPLES = (
    "csflow cameras",
    "csflow cameras --json",
    "csflow cameras genicam:40012345 --save-features line3.pfs",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("camera", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--save-features",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all that CAMERA, genicam:SERIAL, keeps of its settings; 'genicam:SERIAL?load=FILE' sets them again.",
)
def cameras(camera: str | None, as_json: bool, save_features: Path | None) -> None:
    """List every camera that this machine sees, as --camera takes it, and what is wrong with each.

    Looks at V4L2 and CSI devices, at the GenTL producers that GENICAM_GENTL64_PATH names, and through pylon and
    Aravis where they are installed. Producers are asked in a process of their own, with a time limit. The exit code is
    0 whatever is found.
    """
    if (camera is None) != (save_features is None):
        raise click.UsageError("--save-features is about one camera: give both, genicam:SERIAL --save-features FILE")
    if camera is not None and save_features is not None:
        _save(camera, save_features)
        return
    from csflow.runtime.doctor.cameras import camera_lines, see_cameras
    from csflow.runtime.machine.machine import Machine

    seen = see_cameras(Machine())
    if as_json:
        echo_json(asdict(seen))
        return
    for line in camera_lines(seen):
        click.echo(line)


def _save(camera: str, path: Path) -> None:
    from csflow.runtime.sources.genicam.saving import save_features

    count, name = save_features(camera, path), camera.partition("?")[0]
    click.echo(f"wrote {path}: {count} lines; csflow run --camera '{name}?load={path}' sets them")
