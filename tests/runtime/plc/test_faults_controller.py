"""What controllers and networks do wrong, injected over real adapters on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.modbus import ModbusServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import REPORT_REGISTERS, Control, Report, Status, unpack
from csflow.runtime.plc.results import BUFFERED
from csflow.runtime.plc.settings import Modbus
from csflow.runtime.plc.simulator.controller import Controller, Decision
from csflow.runtime.plc.simulator.links import ModbusLink
from csflow.runtime.plc.simulator.oracle import Misdeeds

from .running import Cell, Oracle, Plc, bit

E, T, B = Control.ENABLE, Control.TRIGGER, Control.BUFFER_RESULTS
OK, NOK = 0x5AA5, 0xA53C


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def cell(tmp_path: Path, oracle: Oracle) -> Iterator[Cell]:
    made = Cell(tmp_path / "state", oracle, plc_timeout_ms=0)
    yield made
    made.close()


@pytest.fixture
def plc(cell: Cell) -> Iterator[Plc]:
    made = Plc(cell.modbus.port)
    made.ready()
    yield made
    made.close()


@pytest.mark.fault("P1")
def test_a_trigger_with_the_id_of_the_part_before(plc: Plc, cell: Cell) -> None:
    assert plc.part(1).verdict == OK
    plc.until(bit(Status.READY))
    plc.write(E | T, 1)
    report = plc.until(bit(Status.MISSED_TRIGGER))
    assert (report.warning_code, report.refused_id, report.missed) == (Reason.DUPLICATE_ID, 1, 1)
    plc.write(E, 2)
    assert plc.part(2).verdict == OK
    assert len(cell.finished) == 2


@pytest.mark.fault("P1")
def test_a_trigger_before_the_result_and_one_without_ready(plc: Plc, cell: Cell, oracle: Oracle) -> None:
    oracle.good = False
    plc.begin(1)
    plc.until(bit(Status.RESULT_VALID))
    for number in (2, 3):
        plc.write(E | T, number)
        report = plc.until(lambda r, n=number: r.refused_id == n)
        assert (report.warning_code, report.missed) == (Reason.BUSY, number - 1)
        plc.write(E, number)
    assert plc.result().verdict == NOK, "the result of the accepted one is still there"
    plc.write(Control(0))
    plc.until(lambda r: not r.status & Status.READY)
    plc.write(E | T, 4)
    assert plc.until(lambda r: r.refused_id == 4).missed == 3
    assert [done.trigger_id for done in cell.finished] == [1]


@pytest.mark.fault("P2")
def test_a_result_that_is_never_acknowledged_is_held(plc: Plc, cell: Cell) -> None:
    plc.begin(1)
    held = plc.until(bit(Status.RESULT_VALID))
    for number in range(2, 12):
        plc.write(E | T, number)
        plc.until(lambda r, n=number: r.refused_id == n)
        plc.write(E, number)
    report = plc.link.read()
    assert not report.status & Status.READY
    assert (report.result_trigger_id, report.result_id, report.verdict) == (1, held.result_id, OK)
    assert (report.missed, report.triggers) == (10, 1)
    assert len(cell.finished) == 1


@pytest.mark.fault("P2")
def test_results_that_are_never_acknowledged_fill_the_buffer_and_no_more(plc: Plc, cell: Cell) -> None:
    for number in range(1, BUFFERED + 1):
        plc.write(E | B, number)
        plc.until(bit(Status.READY))
        plc.begin(number, E | B)
        plc.until(lambda r, n=number: r.completed == n)
    plc.write(E | B | T, 99)
    report = plc.until(bit(Status.OVERRUN))
    assert (report.pending, report.overruns, report.refused_id) == (BUFFERED, 1, 99)
    assert not report.status & Status.READY
    seen = []
    for _ in range(BUFFERED):
        report = plc.until(bit(Status.RESULT_VALID))
        seen.append(report.result_trigger_id)
        plc.write(E | B | Control.RESULT_ACK, 99)
        plc.until(lambda r, n=report.result_id: r.result_id != n)
        plc.write(E | B, 99)
    assert seen == list(range(1, BUFFERED + 1))
    assert len(cell.finished) == BUFFERED


@pytest.mark.fault("P3")
def test_a_connection_that_stands_half_open_loses_control_and_its_part(tmp_path: Path) -> None:
    oracle = Oracle(misdeeds=Misdeeds(late=1.0))
    cell = Cell(tmp_path / "state", oracle, plc_timeout_ms=150)
    with closing(cell):
        plc = Plc(cell.modbus.port)
        plc.ready()
        plc.begin(1, deadline_ms=20_000)
        assert cell.station.exchange.holder == "modbus 127.0.0.1"
        end = time.monotonic() + 10
        while cell.station.exchange.holder and time.monotonic() < end:
            time.sleep(0.01)
        assert cell.station.exchange.holder == ""
        with ModbusTcpClient("127.0.0.1", port=cell.modbus.port, source_address=("127.0.0.2", 0)) as other:
            status = other.read_input_registers(0, count=16).registers
            assert not status[0] & (Status.BUSY | Status.READY | Status.RESULT_VALID)
            assert not other.write_register(0, 0).isError(), "control is free for another one"
        (done,) = cell.finished
        assert (done.finding.reason, done.shown) == (Reason.ABORTED, False)
        cell.station.exchange.leave("modbus 127.0.0.2")
        oracle.misdeeds = Misdeeds()
        plc.ready()
        report = plc.link.read()
        assert (report.warning_code, report.error) == (Reason.CLIENT_LOST, 1)
        plc.close()


@pytest.mark.fault("P3")
def test_a_connection_that_breaks_in_mid_handshake_is_taken_up_again(plc: Plc, cell: Cell) -> None:
    for number in range(1, 6):
        plc.until(bit(Status.READY))
        plc.write(E | T, number)
        plc.close()  # before it has heard TRIGGER_ACK; the link connects anew
        plc.until(bit(Status.TRIGGER_ACK))
        plc.write(E, number)
        plc.close()
        report = plc.until(bit(Status.RESULT_VALID))
        plc.close()
        assert (report.result_trigger_id, report.verdict) == (number, OK)
        plc.result()
    assert [done.trigger_id for done in cell.finished] == [1, 2, 3, 4, 5]


@pytest.mark.fault("P4")
def test_a_second_controller_reads_only(plc: Plc, cell: Cell) -> None:
    with ModbusTcpClient("127.0.0.1", port=cell.modbus.port, source_address=("127.0.0.2", 0)) as second:
        for first in range(32):
            answer = second.write_register(first, 0xFFFF)
            assert (answer.isError(), answer.exception_code) == (True, 6)
        assert not second.read_input_registers(0, count=64).isError()
        with socket.create_connection(("127.0.0.1", cell.lines.port), 10) as third, third.makefile("rb") as heard:
            for asked, refused in (("TRG 5 part", "NAK 5"), ("RST", "RST"), ("RCP 2", "RCP 2")):
                third.sendall(f"{asked}\r\n".encode())
                assert heard.readline().decode().strip() == f"{refused} {int(Reason.NOT_OWNER)}"
        assert plc.part(1).verdict == OK
    assert cell.report.recipe == 1
    assert [done.trigger_id for done in cell.finished] == [1]


@pytest.mark.fault("P5")
def test_a_controller_that_is_slower_than_every_pulse(cell: Cell, oracle: Oracle) -> None:
    decisions: list[Decision] = []
    controller = Controller(decisions.append, patience=40)
    expected = []
    with closing(ModbusLink("127.0.0.1", cell.modbus.port)) as link:
        while len(decisions) < 12:
            oracle.good = len(decisions) % 3 != 0
            before = len(decisions)
            link.write(controller.scan(link.read(), "part"))
            if len(decisions) > before:
                expected.append(oracle.good)
            time.sleep(0.03)  # ten times as long as an inspection
    assert [d.passed for d in decisions] == expected
    assert [d.trigger_id for d in decisions] == list(range(1, 13))
    assert len(cell.finished) == 12


@pytest.mark.fault("P7")
def test_a_block_that_is_read_in_halves_shows_it() -> None:
    exchange, stop = Exchange(), threading.Event()

    def publish() -> None:
        number = 0
        while not stop.wait(0.0003):
            number = (number + 1) & 0xFFFF
            exchange.publish(Report(sequence_begin=number, result_id=number, refused_id=number, sequence_end=number))

    with closing(ModbusServer(Modbus("127.0.0.1:0"), exchange, controls=False)) as server:
        thread = threading.Thread(target=publish)
        thread.start()
        torn = 0
        with ModbusTcpClient("127.0.0.1", port=server.port) as client:
            for _ in range(150):
                words: list[int] = []
                for first, count in ((0, 24), (24, 40), (64, 64)):
                    words += client.read_input_registers(first, count=count).registers
                report = unpack(Report, struct.pack(f">{REPORT_REGISTERS}H", *words))
                torn += report.sequence_begin != report.sequence_end
                if report.sequence_begin == report.sequence_end:
                    assert report.result_id == report.sequence_begin
        stop.set()
        thread.join()
    assert torn > 0


@pytest.mark.fault("P10")
@pytest.mark.parametrize("error", [RuntimeError("a defect"), MemoryError(), RecursionError()])
def test_a_defect_of_an_adapter_costs_one_connection(
    plc: Plc, cell: Cell, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving, hit = cell.modbus._answer, threading.Event()

    def answer(request: bytes, who: str) -> bytes:
        if who == "modbus 127.0.0.2":
            hit.set()
            raise error
        return serving(request, who)

    monkeypatch.setattr(cell.modbus, "_answer", answer)
    with socket.socket() as victim:
        victim.bind(("127.0.0.2", 0))
        victim.settimeout(10)
        victim.connect(("127.0.0.1", cell.modbus.port))
        victim.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 1))
        try:
            assert victim.recv(1) == b""
        except ConnectionResetError:
            assert hit.is_set()
    assert hit.is_set()
    assert plc.part(1).verdict == OK
    with socket.create_connection(("127.0.0.1", cell.lines.port), 10) as client:
        client.sendall(b"STA\r\n")
        assert client.recv(100).startswith(b"STA 6 ")
    monkeypatch.undo()
    with ModbusTcpClient("127.0.0.1", port=cell.modbus.port, source_address=("127.0.0.2", 0)) as again:
        assert not again.read_input_registers(0, count=1).isError()
    assert "defect" in caplog.text or type(error).__name__ in caplog.text


@pytest.mark.fault("T3")
def test_ids_at_the_end_of_their_range_over_the_wire(cell: Cell, oracle: Oracle) -> None:
    decisions: list[Decision] = []
    controller = Controller(decisions.append, patience=2000, last_id=0xFFFFFFFD)
    controller._heartbeat = 0xFFF0
    cell.station._heartbeat = 0xFFFFFFFE
    cell.station._handshake.result_id = 0xFFFFFFFE
    with closing(ModbusLink("127.0.0.1", cell.modbus.port)) as link:
        while len(decisions) < 5:
            oracle.good = len(decisions) != 2
            link.write(controller.scan(link.read(), "part"))
    assert [(d.trigger_id, d.passed) for d in decisions] == [
        (0xFFFFFFFE, True),
        (0xFFFFFFFF, True),
        (1, False),
        (2, True),
        (3, True),
    ]
    assert [done.result_id for done in cell.finished] == [0xFFFFFFFF, 1, 2, 3, 4]
