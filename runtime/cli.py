"""The `csflow` command: a group of lazily imported commands."""

from __future__ import annotations

from importlib.metadata import version

import click

from csflow.runtime.command import Group

__all__ = ["main"]

COMMANDS = {
    "synthetic": "csflow.toolkit.cli:synthetic",
    "train": "csflow.toolkit.cli:train",
    "import": "csflow.toolkit.cli_import:import_command",
    "evaluate": "csflow.toolkit.cli:evaluate",
    "calibrate": "csflow.calibration.cli:calibrate",
    "export": "csflow.export.cli:export",
    "verify": "csflow.export.cli_verify:verify",
    "run": "csflow.runtime.cli_run:run",
    "roi": "csflow.runtime.cli_roi:roi",
    "inspect": "csflow.export.cli_inspect:inspect",
    "doctor": "csflow.runtime.cli_doctor:doctor",
}
"""Command name: where it lives, in the order of the work."""


@click.group(cls=Group, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("csflow"), prog_name="csflow")
def main() -> None:
    """From photographs of good parts to a verdict on a live stream.

    \b
    csflow train images/ && csflow calibrate images/calibration/good && csflow-export && csflow-run --camera 0
    """
