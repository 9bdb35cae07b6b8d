"""`csflow plc`: a station that a controller talks to."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Command, ending_signals, tell
from csflow.runtime.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from csflow.runtime.plc.adapters.adapter import Adapters
    from csflow.runtime.plc.commissioning.page import StationPage
    from csflow.runtime.plc.settings import Recipe, Settings
    from csflow.runtime.plc.station import Station

__all__ = ["plc"]

EXAMPLES = ("csflow plc station.toml",)

EPILOG = """\b
Exit codes:
  0    stopped by SIGTERM, SIGHUP or Ctrl-C, or --check found nothing
  1    station.toml is wrong, an address is taken, or --check found something
  4    a library is missing; the message names the extra
"""


@click.command(cls=Command, epilog=EPILOG, examples=EXAMPLES)
@click.argument("station", type=click.Path(path_type=Path, dir_okay=False), default="station.toml")
@click.option(
    "--log", type=click.Path(path_type=Path, dir_okay=False), help="A line each handshake and change; rotates."
)
@click.option("--serve", metavar="HOST:PORT", help="A page for whoever puts the cell into service; shows only.")
@click.option("--check", is_flag=True, help="Examine the file and what it names, without a controller; start nothing.")
def plc(station: Path, log: Path | None, serve: str | None, check: bool) -> None:
    """Answer the triggers of a controller, each exactly once, as STATION says (station.toml by default).

    This process speaks with the controller and inspects nothing itself: each recipe is inspected by a `csflow run` of
    its own, which is ended and started again when it fails.
    """
    from csflow.runtime.plc.commissioning.examine import examine
    from csflow.runtime.plc.settings import read_settings

    settings = read_settings(station)
    if not check:
        _run(settings, log, serve)
        return
    findings = examine(settings, _parse_worker)
    for finding in findings:
        click.echo(finding.line)
    if wrong := sum(not finding.good for finding in findings):
        raise ConfigError(f"{station}: {wrong} of {len(findings)} checks failed")


def _parse_worker(recipe: Recipe) -> None:
    """Read the options of a recipe's worker as it will. Raises ConfigError where it would refuse them."""
    from csflow.runtime.cli.run import run
    from csflow.runtime.plc.worker.process import run_arguments

    _, *arguments = run_arguments(recipe)
    try:
        run.make_context("csflow run", arguments)
    except click.UsageError as error:
        raise ConfigError(error.format_message()) from None


def _run(settings: Settings, log: Path | None, serve: str | None) -> None:
    from csflow.runtime.cli.logs import run_logs
    from csflow.runtime.machine.service import Service
    from csflow.runtime.plc.adapters.adapter import Adapters
    from csflow.runtime.plc.station import Station
    from csflow.runtime.plc.worker.process import start_worker

    stop, service = threading.Event(), Service()
    for number in ending_signals():
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        stack.enter_context(run_logs(log))
        station = Station(settings, start_worker)
        stack.callback(station.close)
        adapters = Adapters(settings, station.exchange)
        stack.callback(adapters.close)
        for name in adapters.names:
            tell(f"adapter    {name}")
        tell(f"control    {settings.station.control or 'nobody'}")
        if serve is not None:
            page = _open_page(serve, station, settings.station.control, adapters)
            stack.callback(page.close)
            tell(f"page       {page.url}")

        def turn() -> None:
            service.beat()
            adapters.check()

        station.run(stop, turn)
        service.stopping()


def _open_page(serve: str, station: Station, control: str, adapters: Adapters) -> StationPage:
    from csflow.runtime.machine.install import pip_install
    from csflow.runtime.plc.commissioning.view import station_view

    try:
        from csflow.runtime.plc.commissioning.page import StationPage
    except ImportError as error:
        raise BackendUnavailable(
            f"--serve needs starlette and uvicorn, of which one does not load ({error}); "
            f"install them with: {pip_install('serve')}"
        ) from None

    def view() -> dict[str, Any]:
        told = {"control": control, "adapters": adapters.names}
        return station_view(station.exchange, station.journal, told, time.monotonic())

    return StationPage(serve, os.environ.get("CSFLOW_SERVE_TOKEN") or None, view)
