"""The whole station as a process, its workers, a simulated controller over Modbus TCP, and the synthetic line."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.plc.process_image import Orders, Report
from csflow.runtime.plc.simulator.commander import Commander
from csflow.runtime.plc.simulator.controller import Controller, Decision
from csflow.runtime.plc.simulator.links import ModbusLink

OK = 0x5AA5
LONG_S = 60.0
BESIDE = 20
CALL = "from csflow.runtime.cli.main import main; main(['plc', 'station.toml'], prog_name='csflow')"
STATION = """
[station]
recipe = 1
control = "modbus"
plc_timeout_ms = 0
[recipes.1]
bundle = "model.csflow"
camera = "synthetic://?fps=0&defects=0.3&seed=1&size=64x64"
deadline_ms = 20000
options = ["--backend", "fake", "--warm-up", "0"]
[recipes.2]
bundle = "model.csflow"
camera = "synthetic://?fps=0&defects=0.3&seed=2&size=64x64"
deadline_ms = 20000
options = ["--backend", "fake", "--warm-up", "0"]
[modbus]
listen = "127.0.0.1:{port}"
"""


@pytest.fixture
def link(calibrated_bundle: Bundle, tmp_path: Path) -> Iterator[ModbusLink]:
    folder = calibrated_bundle.path.parent
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "station.toml").write_text(STATION.format(port=port))
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([sys.executable, "-c", CALL], cwd=folder, stderr=log, stdout=log) as process,
    ):
        with closing(ModbusLink("127.0.0.1", port)) as made:
            yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0, (tmp_path / "log").read_text()


def produce(link: ModbusLink, parts: int, every: int) -> tuple[Counter[str], int, Report]:
    """What the controller decided, recipes that came into force, and what the station counted."""
    decisions: Counter[str] = Counter()
    verdicts: Counter[int] = Counter()

    def take(decision: Decision) -> None:
        decisions[decision.why] += 1

    controller, commander = Controller(take, patience=1_000_000), Commander(every, (1, 2))
    report, end = Report(), time.monotonic() + LONG_S
    while decisions.total() < parts:
        with contextlib.suppress(OSError):
            before = decisions.total()
            report = link.read()
            # Some parts come beside the preparation; then the line waits, so that each change has its place.
            waits = before >= every * (commander.changes + 1) + BESIDE
            orders = controller.scan(report, None if waits else f"part {before}")
            verdicts[report.verdict] += decisions.total() - before
            link.write(commander.scan(orders, report, decisions.total()))
            if decisions.total() > before:
                end = time.monotonic() + LONG_S
        assert time.monotonic() < end, report
    link.write(Orders())
    counted = link.read()
    assert (verdicts[OK], decisions[""]) == (counted.ok, counted.ok)
    assert commander.refusals == 0
    return decisions, commander.changes, counted


def balanced(decisions: Counter[str], counted: Report, parts: int) -> None:
    assert set(decisions) == {"", "not OK"}, "no rejection for want of evidence"
    assert decisions[""] == counted.ok > 0
    assert decisions["not OK"] == counted.nok + counted.uncertain > 0
    assert (counted.triggers, counted.completed, counted.error, counted.missed, counted.overruns) == (
        parts,
        parts,
        0,
        0,
        0,
    )
    assert counted.worker_restarts == 0


def test_two_hundred_parts_and_two_recipes(link: ModbusLink) -> None:
    decisions, changes, counted = produce(link, 200, 80)
    balanced(decisions, counted, 200)
    assert changes == 2


@pytest.mark.soak
def test_ten_thousand_parts_and_a_recipe_each_five_hundred(link: ModbusLink) -> None:
    decisions, changes, counted = produce(link, 10_000, 500)
    balanced(decisions, counted, 10_000)
    assert changes == 19
