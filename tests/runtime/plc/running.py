"""A station that runs behind real adapters on loopback, with workers that the test chooses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csflow.runtime.plc.adapters.lines import LineServer
from csflow.runtime.plc.adapters.modbus import ModbusServer
from csflow.runtime.plc.events import Finished
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.settings import Lines, Modbus, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.links import ModbusLink
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.station import Station
from csflow.runtime.plc.worker.process import Start

LONG_S = 30.0
LISTED = ("127.0.0.1", "127.0.0.2")
RECIPES = {"1": Recipe("a.csflow", "0", deadline_ms=300), "2": Recipe("b.csflow", "0", deadline_ms=300)}


@dataclass
class Oracle:
    """A `Start`: workers that find a part as `good` says."""

    good: bool = True
    misdeeds: Misdeeds = field(default_factory=Misdeeds)
    workers: list[OracleWorker] = field(default_factory=list)

    def __call__(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> OracleWorker:
        self.workers.append(OracleWorker(recipe, wake, lambda: self.good, random.Random(1), self.misdeeds, hold))
        return self.workers[-1]


class Cell:
    """The station in a thread, a Modbus server in control, and a line server that shows only."""

    def __init__(
        self, folder: Path, start: Start, recipes: Mapping[str, Recipe] | None = None, **station: object
    ) -> None:
        settings = StationSettings(1, "modbus", state=str(folder), **station)  # type: ignore[arg-type]
        self.finished: list[Finished] = []
        self.station = Station(Settings(settings, dict(recipes or RECIPES), Modbus()), start, self.finished.append)
        exchange = self.station.exchange
        self.modbus = ModbusServer(Modbus("127.0.0.1:0", LISTED), exchange, controls=True)
        self.lines = LineServer(Lines("127.0.0.1:0", LISTED), exchange, controls=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.station.run, args=(self._stop,))
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether the station still scans."""
        return self._thread.is_alive()

    @property
    def report(self) -> Report:
        """What it says now."""
        return self.station.exchange.report

    def close(self) -> None:
        """End all of it."""
        self._stop.set()
        self._thread.join()
        self.modbus.close()
        self.lines.close()
        self.station.close()


class Plc:
    """A controller's program by hand, over Modbus TCP."""

    def __init__(self, port: int) -> None:
        self.link = ModbusLink("127.0.0.1", port)

    def write(self, control: Control, trigger_id: int = 0, **other: int | str) -> None:
        """All orders at once."""
        self.link.write(Orders(control, trigger_id=trigger_id, **other))  # type: ignore[arg-type]

    def until(self, what: Callable[[Report], object]) -> Report:
        """The first report of which this is true."""
        end = time.monotonic() + LONG_S
        while time.monotonic() < end:
            report = self.link.read()
            if what(report):
                return report
            time.sleep(0.002)
        raise AssertionError(self.link.read())

    def ready(self) -> Report:
        """Whatever was before, a trigger is taken next."""
        self.write(Control(0))
        self.until(quiet)
        self.write(Control.ENABLE)
        return self.until(bit(Status.READY))

    def begin(self, trigger_id: int, control: Control = Control.ENABLE, **other: int | str) -> None:
        """A trigger that is accepted."""
        self.write(control | Control.TRIGGER, trigger_id, **other)
        self.until(bit(Status.TRIGGER_ACK))
        self.write(control, trigger_id, **other)

    def result(self) -> Report:
        """The result, which is acknowledged."""
        report = self.until(bit(Status.RESULT_VALID))
        self.write(Control.ENABLE | Control.RESULT_ACK, report.result_trigger_id)
        self.until(lambda r: not r.status & Status.RESULT_VALID)
        self.write(Control.ENABLE, report.result_trigger_id)
        return report

    def part(self, trigger_id: int, **other: int | str) -> Report:
        """One part, from READY to RESULT_ACK."""
        self.until(bit(Status.READY))
        self.begin(trigger_id, **other)
        return self.result()

    def close(self) -> None:
        """Leave."""
        self.link.close()


def bit(status: Status) -> Callable[[Report], bool]:
    """Whether this bit is set."""
    return lambda report: bool(report.status & status)


def quiet(report: Report) -> bool:
    """What a controller waits for after it has taken ENABLE away."""
    return not report.status & (Status.READY | Status.TRIGGER_ACK | Status.RESULT_VALID)
