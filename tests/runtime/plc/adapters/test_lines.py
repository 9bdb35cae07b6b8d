"""The line protocol, spoken by a plain socket, with a station behind it whose workers the test plays."""

from __future__ import annotations

import contextlib
import gc
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csflow.runtime.plc.adapters import dialogue
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.lines import LineServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report
from csflow.runtime.plc.settings import Lines, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.station import Station


class Cell:
    """A station that runs, with an oracle that finds every part as `good` says."""

    def __init__(self, folder: Path, misdeeds: Misdeeds, **station: object) -> None:
        self.good = True
        self._misdeeds = misdeeds
        recipes = {"1": Recipe("a.csflow", "0", deadline_ms=300), "2": Recipe("b.csflow", "0")}
        settings = Settings(StationSettings(1, "lines", state=str(folder), **station), recipes, lines=Lines())  # type: ignore[arg-type]
        self.station = Station(settings, self._start)
        self.server = LineServer(Lines("127.0.0.1:0"), self.station.exchange, controls=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.station.run, args=(self._stop,))
        self._thread.start()

    def _start(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> OracleWorker:
        return OracleWorker(recipe, wake, lambda: self.good, random.Random(1), self._misdeeds, hold)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.close()
        self.station.close()


class Client:
    """Lines over a socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self._lines = self.socket.makefile("rb")

    def say(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\r\n")

    def hear(self) -> str:
        return self._lines.readline().decode().removesuffix("\r\n")

    def ask(self, line: str) -> str:
        self.say(line)
        return self.hear()

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    made = Cell(tmp_path / "state", Misdeeds())
    yield made
    made.close()


@pytest.fixture
def client(cell: Cell) -> Iterator[Client]:
    made = Client(cell.server.port)
    yield made
    made.close()


def test_a_trigger_has_one_ack_and_one_result(cell: Cell, client: Client) -> None:
    assert isinstance(cell.server, Adapter)
    for number in range(1, 6):
        cell.good = number % 2 == 1
        assert client.ask(f"TRG {number} part {number}") == f"ACK {number}"
        words = client.hear().split()
        boot = str(cell.station.exchange.report.boot_id)
        expected = ["OK", "1", "0.5", "0.5", "0000", "0"] if cell.good else ["NOK", "3", "1.5", "0.001", "0000", "2"]
        assert words == ["RES", str(number), boot, *expected]
    assert cell.station.exchange.report.completed == 5


@pytest.mark.parametrize("name", ["0", "x", "-1", "4294967296", "99999999999999999999999", "000000000000" + "9" * 30])
def test_an_id_that_is_none_is_refused(client: Client, name: str) -> None:
    assert client.ask(f"TRG {name}") == f"NAK {name} 403"


def test_the_id_of_the_part_before_is_refused(client: Client) -> None:
    assert client.ask("TRG 7") == "ACK 7"
    assert client.hear().startswith("RES 7 ")
    assert client.ask("TRG 7") == "NAK 7 403"


def test_a_trigger_that_a_station_takes_too_late_leaves_no_result_that_nobody_reads(
    cell: Cell, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, goes_on = cell.station.exchange, threading.Event()
    take = exchange.take

    def held(silence_ns: int) -> tuple[Orders, str]:
        goes_on.wait(60)
        return take(silence_ns)

    with monkeypatch.context() as patched:
        patched.setattr(exchange, "take", held)
        patched.setattr(dialogue, "ANSWER_S", 0.05)
        assert client.ask("TRG 1") == "NAK 1 404"
        goes_on.set()
    for _ in range(600):
        if client.ask("STA").split()[2] == "1":
            break
        time.sleep(0.05)
    assert client.ask("TRG 2") == "ACK 2"
    assert client.hear().startswith("RES 2 ")


def test_status_heartbeat_and_what_is_no_line(cell: Cell, client: Client) -> None:
    report = cell.station.exchange.report
    assert client.ask("TRG 1") == "ACK 1"
    client.hear()
    words = client.ask("sta").split()
    assert (words[0], words[1], words[3:]) == ("STA", "6", ["1", "0", "0", str(report.boot_id)])
    first, beat = client.ask("HBT 12").rsplit(" ", 1)
    assert first == "HBT 12"
    assert beat.isdecimal()
    for line in ("", "OK", "TRG", "RCP", "HBT", "RES 1 1 OK", "\x00\xff", "HBT 1 2"):
        assert client.ask(line) == "NAK - 408", line


def test_a_heartbeat_takes_control_and_makes_it_ready(client: Client) -> None:
    assert client.ask("STA").split()[2] == "0"
    client.ask("HBT 1")
    while client.ask("STA").split()[2] == "0":
        pass


def test_recipes_and_reset(cell: Cell, client: Client) -> None:
    assert client.ask("RCP 9") == "RCP 9 402"
    assert client.ask("RCP 2") == "RCP 2 0"
    assert cell.station.exchange.report.recipe == 2
    assert client.ask("RST") == "RST 0"


@pytest.mark.fault("P4")
def test_a_second_client_is_refused_until_the_first_leaves(cell: Cell, client: Client) -> None:
    assert client.ask("TRG 1") == "ACK 1"
    client.hear()
    other = Client(cell.server.port)
    assert other.ask("TRG 2") == "NAK 2 406"
    assert other.ask("RST") == "RST 406"
    assert other.ask("STA").startswith("STA ")
    client.close()
    while (answer := other.ask("TRG 3")) == "NAK 3 406":
        pass
    assert answer in ("ACK 3", "NAK 3 401")
    other.close()


def test_a_silent_worker_is_an_error_by_the_deadline(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "state", Misdeeds(hang=1.0), hang_ms=60_000)
    client = Client(cell.server.port)
    assert client.ask("TRG 1") == "ACK 1"
    assert client.ask("TRG 2") == "NAK 2 401", "one part at a time"
    words = client.hear().split()
    assert (words[:2], words[3:]) == (["RES", "1"], ["ERR", "-", "-", "-", "0020", "404"])
    client.close()
    cell.close()


def test_a_client_that_lost_control_hears_an_error(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "state", Misdeeds(hang=1.0), hang_ms=60_000, plc_timeout_ms=100)
    client = Client(cell.server.port)
    assert client.ask("TRG 1") == "ACK 1"
    assert client.hear() == "RES 1 0 ERR - - - 0000 405"
    client.close()
    cell.close()


def test_without_control_nothing_is_triggered() -> None:
    exchange = Exchange()
    exchange.publish(Report(state=6))
    server = LineServer(Lines("127.0.0.1:0"), exchange, controls=False)
    client = Client(server.port)
    assert client.ask("TRG 1") == "NAK 1 406"
    assert client.ask("RCP 1") == "RCP 1 406"
    assert client.ask("STA") == "STA 6 0 0 0 0 0"
    assert (exchange.orders, exchange.holder) == (Orders(), "")
    client.close()
    server.close()


@pytest.mark.fault("P6")
def test_a_line_without_end_drops_the_client_and_nobody_else(cell: Cell, client: Client) -> None:
    for size in (1500, 100_000):
        other = Client(cell.server.port)
        other.socket.sendall(b"A" * size + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert other.hear() == ""
        other.close()
    assert client.ask("STA").startswith("STA ")


def test_a_command_whose_client_is_dropped_at_once_leaves_nothing_behind(cell: Cell) -> None:
    """The command is ended before it began: a coroutine that nobody awaits would be a warning, here an error."""
    with socket.create_connection(("127.0.0.1", cell.server.port), 20) as hasty:
        hasty.sendall(b"RCP 2\r\n" + b"x" * 2000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert hasty.recv(100) == b""
    gc.collect()
