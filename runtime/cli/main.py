"""The `csflow` command: a group of lazily imported commands."""

from __future__ import annotations

from importlib.metadata import version

import click

from csflow.runtime.cli.command import Group

__all__ = ["COMMANDS", "OWN", "main"]

OWN = {
    "capture": "csflow.runtime.cli.pictures.capture:capture",
    "run": "csflow.runtime.cli.run:run",
    "plc": "csflow.runtime.cli.plc:plc",
    "plc-simulate": "csflow.runtime.cli.plc_simulate:plc_simulate",
    "pack": "csflow.runtime.cli.packs.pack:pack",
    "unpack": "csflow.runtime.cli.packs.pack:unpack",
    "deploy": "csflow.runtime.cli.packs.deploy:deploy",
    "rollback": "csflow.runtime.cli.packs.deploy:rollback",
    "replay": "csflow.runtime.cli.records.replay:replay",
    "history": "csflow.runtime.cli.records.history:history",
    "drift": "csflow.runtime.cli.records.drift:drift",
    "label": "csflow.runtime.cli.label:label",
    "roi": "csflow.runtime.cli.pictures.roi:roi",
    "cameras": "csflow.runtime.cli.cameras:cameras",
    "doctor": "csflow.runtime.cli.doctor:doctor",
    "bench": "csflow.runtime.cli.bench:bench",
}
"""This package's commands: where each lives. Those of packages above are entry points of the group csflow.commands."""
COMMANDS = (
    "synthetic",
    "capture",
    "split",
    "train",
    "adapt",
    "import",
    "evaluate",
    "calibrate",
    "export",
    "verify",
    "run",
    "pack",
    "deploy",
    "label",
    "replay",
    "history",
    "drift",
    "cameras",
    "roi",
    "inspect",
    "doctor",
    "bench",
)
"""In the order of the work; any other command comes after them."""


@click.group(cls=Group, lazy=OWN, order=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("csflow"), prog_name="csflow")
def main() -> None:
    """From photographs of good parts to a verdict on a live stream.

    \b
    csflow train images/ && csflow export && csflow calibrate images/calibration/good && csflow run --camera 0

    'csflow COMMAND --help' has examples. Each command also stands alone: csflow-train, csflow-run, ...
    """
