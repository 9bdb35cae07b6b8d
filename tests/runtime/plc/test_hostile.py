"""Clients that mean harm, all at once, while a controller works: no verdict turns, nothing stops, nothing obeys."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from csflow.runtime.plc.adapters.serving import MOST_CONNECTIONS
from csflow.runtime.plc.simulator.controller import Controller, Decision
from csflow.runtime.plc.simulator.links import ModbusLink

from .running import Cell, Oracle

LISTED, UNLISTED = "127.0.0.2", "127.0.0.3"
OK = 0x5AA5
PARTS = 40
SOCKETS = 1000


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def cell(tmp_path: Path, oracle: Oracle) -> Iterator[Cell]:
    made = Cell(tmp_path / "state", oracle, plc_timeout_ms=5000)
    yield made
    made.close()


class Attackers:
    """Threads that attack until they are told to stop."""

    def __init__(self, cell: Cell) -> None:
        self._cell, self._stop = cell, threading.Event()
        self.tried: dict[str, int] = {}
        self.refused = 0
        attacks: tuple[Callable[[], None], ...] = (self.write, self.babble, self.flood, self.lines, self.knock)
        self._threads = [threading.Thread(target=self._again, args=(attack,)) for attack in attacks]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _again(self, attack: Callable[[], None]) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                attack()
                self.tried[attack.__name__] = self.tried.get(attack.__name__, 0) + 1

    def write(self) -> None:
        """Every register, with every function that writes; OK in each place of the report."""
        generator = random.Random(1)
        with connected(LISTED, self._cell.modbus.port) as client:
            for first in range(0, 260, 4):
                for request in (
                    struct.pack(">BHH", 6, first, OK),
                    struct.pack(">BHHB8s", 16, first, 4, 8, struct.pack(">4H", OK, OK, 3, 1)),
                    struct.pack(">BHHHHB4s", 23, 100, 1, first, 2, 4, generator.randbytes(4)),
                    struct.pack(">BHHB1s", 15, first, 8, 1, b"\xff"),
                ):
                    client.sendall(struct.pack(">HHHB", 1, 0, len(request) + 1, 1) + request)
                    if not (answer := client.recv(300)):
                        return  # dropped for a newcomer
                    assert answer[7] & 0x80, "every write is refused"
                    self.refused += 1

    def babble(self) -> None:
        with connected(LISTED, self._cell.modbus.port) as client:
            client.sendall(os.urandom(3000))
            client.recv(10)

    def flood(self) -> None:
        with connected(LISTED, self._cell.modbus.port) as client:
            for _ in range(20):
                client.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 125) * 200)
                client.recv(65536)

    def lines(self) -> None:
        with connected(LISTED, self._cell.lines.port) as client:
            for line in (
                b"TRG 77 x\r\n",
                b"RCP 2\r\n",
                b"RST\r\n",
                b"TRG\r\n",
                b"\r\n",
                b"\xff\xfe\r\n",
                b"STA\r\n" * 200,
            ):
                client.sendall(line)
            client.recv(65536)
            client.sendall(b"T" * 5000)

    def knock(self) -> None:
        for port in (self._cell.modbus.port, self._cell.lines.port):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError), connected(UNLISTED, port) as client:
                client.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 6, 0, 3))
                assert client.recv(100) == b"", "nobody answers"


def connected(source: str, port: int) -> socket.socket:
    made = socket.socket()
    made.settimeout(2)
    try:
        made.bind((source, 0))
        made.connect(("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return made


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def work(cell: Cell, oracle: Oracle, parts: int) -> tuple[list[Decision], list[bool]]:
    """A controller decides about so many parts; the truth beside."""
    decisions: list[Decision] = []
    truth: list[bool] = []
    controller = Controller(decisions.append, patience=100_000)
    with closing(ModbusLink("127.0.0.1", cell.modbus.port)) as link:
        while len(decisions) < parts:
            oracle.good = len(decisions) % 3 != 1
            before = len(decisions)
            with contextlib.suppress(OSError):  # dropped for a newcomer before it had control
                link.write(controller.scan(link.read(), "part"))
            truth += [oracle.good] * (len(decisions) - before)
    return decisions, truth


@pytest.mark.fault("P4", "P6")
def test_all_at_once_they_change_nothing(cell: Cell, oracle: Oracle, caplog: pytest.LogCaptureFixture) -> None:
    assert cell.station.exchange.order("modbus 127.0.0.1", lambda orders: orders), "the controller was there first"
    before = descriptors()
    attackers = Attackers(cell)
    idle: list[socket.socket] = []
    try:
        for _ in range(SOCKETS):
            with contextlib.suppress(OSError):
                idle.append(connected(LISTED, cell.modbus.port))
        decisions, truth = work(cell, oracle, PARTS)
    finally:
        attackers.stop()
        for one in idle:
            one.close()
    assert len(idle) > SOCKETS / 2
    assert set(attackers.tried) == {"write", "flood", "lines", "knock", "babble"}, attackers.tried
    assert attackers.refused > 0
    assert [decision.passed for decision in decisions] == truth
    assert [done.trigger_id for done in cell.finished] == list(range(1, PARTS + 1))
    assert cell.runs
    assert cell.station.exchange.holder == "modbus 127.0.0.1"
    report = cell.report
    assert (report.recipe, report.triggers, report.completed, report.missed) == (1, PARTS, PARTS, 0)
    assert report.ok == sum(truth)
    assert f"{UNLISTED} is not in modbus.clients: refused" in caplog.text
    assert f"{UNLISTED} is not in lines.clients: refused" in caplog.text
    assert not [record for record in caplog.records if record.exc_info], "no traceback for what clients do"
    end = time.monotonic() + 20
    while descriptors() > before + 2 * MOST_CONNECTIONS and time.monotonic() < end:
        time.sleep(0.02)
    assert descriptors() <= before + 2 * MOST_CONNECTIONS
