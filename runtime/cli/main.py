"""The `csflow` command: a group of lazily imported commands."""

from __future__ import annotations

from importlib.metadata import version

import click

from csflow.runtime.cli.command import Group

__all__ = ["main"]

COMMANDS = {
    "synthetic": "csflow.toolkit.cli.synthetic:synthetic",
    "train": "csflow.toolkit.cli.train:train",
    "import": "csflow.toolkit.cli.import_command:import_command",
    "evaluate": "csflow.toolkit.cli.evaluate:evaluate",
    "calibrate": "csflow.calibration.cli:calibrate",
    "export": "csflow.export.cli.export:export",
    "verify": "csflow.export.cli.verify:verify",
    "run": "csflow.runtime.cli.run:run",
    "roi": "csflow.runtime.cli.roi:roi",
    "inspect": "csflow.export.cli.inspect:inspect",
    "doctor": "csflow.runtime.cli.doctor:doctor",
}
"""Command name: where it lives, in the order of the work."""


@click.group(cls=Group, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("csflow"), prog_name="csflow")
def main() -> None:
    """From photographs of good parts to a verdict on a live stream.

    \b
    csflow train images/ && csflow calibrate images/calibration/good && csflow-export && csflow-run --camera 0
    """
