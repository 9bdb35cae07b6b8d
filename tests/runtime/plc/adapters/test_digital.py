"""Digital lines over gpiod, with a chip that the test plays: OK xor NOK, and 0 at any doubt."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gpiod", reason="the extra gpio is not installed")

import gpiod

from csflow.runtime.errors import ConfigError, SourceError
from csflow.runtime.faults import Verdict
from csflow.runtime.plc.adapters import digital
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.digital import DigitalPort, levels
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.settings import Digital, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.station import Station

from ...chip import Chip  # noqa: TID252 - tests are no package that could be named

SETTINGS = Digital(ok="OK", nok="5", ready="READY", busy="7", trigger="PART", pulse_ms=30)
LONG_S = 20.0


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Chip:
    made = Chip("OK", 5)
    monkeypatch.setattr(gpiod, "request_lines", made.request_lines)
    monkeypatch.setattr(digital, "LATE_S", 30.0)  # a starved machine is held up
    return made


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.002)


VALID = Status.RESULT_VALID


@pytest.mark.parametrize(
    ("report", "high"),
    [
        (Report(), set()),
        (Report(status=Status.READY), {"ready"}),
        (Report(status=Status.BUSY), {"busy"}),
        (Report(status=VALID, verdict=Verdict.OK.code), {"ok"}),
        (Report(status=VALID, verdict=Verdict.NOK.code), {"nok"}),
        (Report(status=VALID, verdict=Verdict.UNCERTAIN.code), {"nok"}),
        (Report(status=VALID, verdict=Verdict.ERROR.code), {"nok"}),
        (Report(status=VALID, verdict=0), {"nok"}),
        (Report(status=VALID, verdict=0xFFFF), {"nok"}),
        (Report(status=0, verdict=Verdict.OK.code), set()),
    ],
)
def test_levels(report: Report, high: set[str]) -> None:
    assert {name for name, level in levels(report).items() if level} == high


@pytest.mark.fault("P11")
def test_outputs_follow_the_report_and_fall_at_the_end(chip: Chip) -> None:
    exchange = Exchange()
    port = DigitalPort(SETTINGS, exchange, controls=False)
    assert isinstance(port, Adapter)
    exchange.publish(Report(status=VALID | Status.READY, verdict=Verdict.OK.code, heartbeat=1))
    until(lambda: chip.outputs == {"READY": True, "OK": True, 5: False, 7: False})
    exchange.publish(Report(status=VALID, verdict=Verdict.NOK.code, heartbeat=2))
    until(lambda: chip.outputs == {"READY": False, "OK": False, 5: True, 7: False})
    port.close()
    port.close()
    assert set(chip.outputs.values()) == {False}
    assert chip.released == 1
    assert (True, True) not in chip.history


@pytest.mark.fault("P11")
def test_a_heartbeat_that_stands_still_is_no_station(chip: Chip) -> None:
    exchange = Exchange()
    port = DigitalPort(SETTINGS, exchange, controls=False)
    exchange.publish(Report(status=VALID, verdict=Verdict.OK.code, heartbeat=1))
    until(lambda: chip.outputs["OK"])
    until(lambda: not chip.outputs["OK"])
    assert not chip.outputs[5]
    port.close()


@pytest.mark.fault("P11")
def test_a_chip_that_goes_is_told(chip: Chip, caplog: pytest.LogCaptureFixture) -> None:
    port = DigitalPort(SETTINGS, Exchange(), controls=False)
    chip.broken = True
    until(lambda: "an output cannot be set" in caplog.text)
    port.close()
    assert chip.released == 1


@pytest.mark.parametrize(
    ("settings", "controls", "words"),
    [
        (Digital(ok="1", nok="1"), False, "no line for two outputs"),
        (Digital(ok="", nok="1"), False, "a line each for ok and nok"),
        (Digital(ok="1", nok="2"), True, "name the line of its input"),
    ],
)
def test_settings_that_cannot_be(chip: Chip, settings: Digital, controls: bool, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DigitalPort(settings, Exchange(), controls=controls)
    assert chip.outputs == {}


def test_lines_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(gpiod, "request_lines", missing)
    with pytest.raises(SourceError, match="gpioinfo"):
        DigitalPort(SETTINGS, Exchange(), controls=False)


class Cell:
    """A station that runs, with the port in control and an oracle behind it."""

    def __init__(self, folder: Path, misdeeds: Misdeeds) -> None:
        self.good = True
        self._misdeeds = misdeeds
        station = StationSettings(1, "digital", state=str(folder))
        # Only a worker that never answers needs a deadline; on a starved machine a short one is missed by others, too.
        recipes = {"1": Recipe("a.csflow", "0", deadline_ms=100 if misdeeds.hang else 20_000)}
        self.station = Station(Settings(station, recipes, digital=SETTINGS), self._start)
        self.port = DigitalPort(SETTINGS, self.station.exchange, controls=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.station.run, args=(self._stop,))
        self._thread.start()

    def _start(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> OracleWorker:
        return OracleWorker(recipe, wake, lambda: self.good, random.Random(1), self._misdeeds, hold)

    @property
    def report(self) -> Report:
        return self.station.exchange.report

    def close(self) -> None:
        self.port.close()
        self._stop.set()
        self._thread.join()
        self.station.close()


@pytest.fixture
def cell(chip: Chip, tmp_path: Path) -> Iterator[Cell]:
    del chip
    made = Cell(tmp_path / "state", Misdeeds())
    yield made
    made.close()


def test_each_edge_is_one_part_and_one_pulse(chip: Chip, cell: Cell) -> None:
    until(lambda: chip.outputs["READY"])
    for number in range(1, 5):
        cell.good = number % 2 == 1
        chip.edge()
        until(lambda number=number: cell.report.completed == number)
        until(lambda: cell.report.status & Status.READY)
    until(lambda: chip.history[-1] == (False, False))
    pulses = [one for one in chip.history if one != (False, False)]
    assert pulses == [(True, False), (False, True), (True, False), (False, True)]
    until(lambda: chip.outputs["READY"])


def test_a_contact_that_bounces_is_one_part(chip: Chip, cell: Cell) -> None:
    until(lambda: cell.report.status & Status.READY)
    for _ in range(3):
        chip.edge()
    until(lambda: cell.report.missed == 2)
    until(lambda: cell.report.status & Status.READY)
    assert (cell.report.triggers, cell.report.completed) == (1, 1)
    assert [one for one in chip.history if one != (False, False)] == [(True, False)]


def test_an_edge_that_waited_is_no_part_any_more(chip: Chip, cell: Cell, caplog: pytest.LogCaptureFixture) -> None:
    until(lambda: cell.report.status & Status.READY)
    chip.edge(age_s=31.0)
    until(lambda: cell.report.missed == 1)
    until(lambda: "refused: it had waited for 31" in caplog.text)
    until(lambda: cell.report.status & Status.READY)
    chip.edge()
    until(lambda: cell.report.completed == 1)
    assert (cell.report.triggers, cell.report.missed) == (1, 1)


def test_a_silent_worker_is_not_ok(chip: Chip, tmp_path: Path) -> None:
    cell = Cell(tmp_path / "state", Misdeeds(hang=1.0))
    chip.edge()
    until(lambda: cell.report.completed == 1)
    until(lambda: (False, True) in chip.history)
    assert (True, False) not in chip.history
    cell.close()
