"""`csflow plc` as a process: a controller over Modbus, a worker that is `csflow run`, and an end in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.simulator.links import ModbusLink

HANGUP = signal.SIGTERM if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else signal.SIGHUP
"""What a terminal sends that is gone; under nohup it is ignored here, and in what is started here."""
LONG_S = 60.0
TEXT = """
[station]
recipe = 1
control = "modbus"
plc_timeout_ms = 0
[recipes.1]
bundle = "model.csflow"
camera = "parts"
options = ["--backend", "fake", "--warm-up", "0"]
[modbus]
listen = "127.0.0.1:{port}"
"""


@pytest.fixture
def station(calibrated_bundle: Bundle, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], ModbusLink]]:
    folder = calibrated_bundle.path.parent
    (folder / "parts").mkdir()
    for number, grey in enumerate((51, 204, 51, 51)):
        Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(folder / "parts" / f"{number}.png")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "station.toml").write_text(TEXT.format(port=port))
    call = "from csflow.runtime.cli.main import main; main(['plc', 'station.toml'], prog_name='csflow')"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", call], cwd=folder, stderr=log, stdout=log)
    with closing(ModbusLink("127.0.0.1", port)) as link:
        yield process, link
    process.kill()
    process.wait()


def until(link: ModbusLink, what: Callable[[Report], bool], control: Control, trigger_id: int = 0) -> Report:
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        try:
            link.write(Orders(control, trigger_id=trigger_id, deadline_ms=10_000))
            report = link.read()
        except OSError:
            time.sleep(0.05)
            continue
        if what(report):
            return report
        time.sleep(0.01)
    raise AssertionError(link.read())


def bit(status: Status) -> Callable[[Report], bool]:
    return lambda report: bool(report.status & status)


def test_two_parts_and_an_orderly_end(station: tuple[subprocess.Popen[bytes], ModbusLink]) -> None:
    process, link = station
    verdicts = []
    for number in (1, 2):
        until(link, bit(Status.READY), Control.ENABLE)
        report = until(link, bit(Status.RESULT_VALID), Control.ENABLE | Control.TRIGGER, number)
        assert report.result_trigger_id == number
        verdicts.append(report.verdict)
        until(link, lambda r: not r.status & Status.RESULT_VALID, Control.ENABLE | Control.RESULT_ACK)
    assert verdicts == [0x5AA5, 0xA53C]
    report = link.read()
    assert (report.triggers, report.completed, report.ok, report.nok) == (2, 2, 1, 1)
    os.kill(process.pid, HANGUP)
    assert process.wait(LONG_S) == 0
