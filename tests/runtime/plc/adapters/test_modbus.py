"""The Modbus server with two clients that others wrote, and with clients that mean harm."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pyModbusTCP.client import ModbusClient

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.modbus import MIRROR, ModbusServer
from csflow.runtime.plc.adapters.serving import MOST_CONNECTIONS
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import ORDER_REGISTERS, REPORT_REGISTERS, Orders, Report, pack, unpack
from csflow.runtime.plc.settings import Modbus
from csflow.runtime.plc.simulator.links import ModbusLink

REPORT = Report(
    state=6, boot_id=0x01020304, verdict=0x5AA5, score=1.5, threshold=2.0, result_part_id="K-1", uptime_s=70_000
)
ORDERS = Orders(3, 9, 0xA1B2C3D4, deadline_ms=50, part_id="housing-12")


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange()
    made.publish(REPORT)
    return made


@pytest.fixture
def server(exchange: Exchange) -> Iterator[ModbusServer]:
    made = ModbusServer(Modbus("127.0.0.1:0"), exchange, controls=True)
    yield made
    made.close()


@pytest.fixture
def link(server: ModbusServer) -> Iterator[ModbusLink]:
    with closing(ModbusLink("127.0.0.1", server.port)) as made:
        yield made


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


def block(values: list[int] | None) -> bytes:
    assert values is not None
    return struct.pack(f">{len(values)}H", *values)


def test_it_is_an_adapter_with_a_name(server: ModbusServer) -> None:
    assert isinstance(server, Adapter)
    assert server.name == f"modbus 127.0.0.1:{server.port}"


def test_pymodbus_reads_and_writes_both_blocks(server: ModbusServer, exchange: Exchange) -> None:
    with ModbusTcpClient("127.0.0.1", port=server.port) as client:
        first = client.read_input_registers(0, count=64).registers
        second = client.read_holding_registers(MIRROR + 64, count=64).registers
        assert unpack(Report, block([*first, *second])) == REPORT
        assert not client.write_registers(0, words(pack(ORDERS))).isError()
        assert exchange.orders == ORDERS
        assert client.read_holding_registers(0, count=ORDER_REGISTERS).registers == words(pack(ORDERS))
        assert not client.write_register(0, 1).isError()
        assert exchange.orders.control == 1
        both = client.readwrite_registers(read_address=MIRROR, read_count=17, write_address=2, values=[0, 5])
        assert both.registers == first[:17]
        assert exchange.orders.trigger_id == 5


def test_pymodbustcp_reads_and_writes_both_blocks(server: ModbusServer, exchange: Exchange) -> None:
    client = ModbusClient("127.0.0.1", server.port, unit_id=7, auto_open=True)
    first = client.read_input_registers(0, 64)
    second = client.read_input_registers(64, 64)
    assert unpack(Report, block(first) + block(second)) == REPORT
    assert client.write_multiple_registers(0, words(pack(ORDERS)))
    assert exchange.orders == ORDERS
    assert client.read_holding_registers(8, 5) == words(b"housing-12")
    client.close()


def test_low_words_first(exchange: Exchange) -> None:
    with closing(ModbusServer(Modbus("127.0.0.1:0", low_word_first=True), exchange, controls=True)) as server:
        client = ModbusClient("127.0.0.1", server.port)
        assert client.read_input_registers(8, 2) == [0x0304, 0x0102]
        assert client.write_multiple_registers(2, [0xC3D4, 0xA1B2])
        assert exchange.orders.trigger_id == 0xA1B2C3D4
        client.close()


@pytest.mark.fault("P6")
def test_what_is_not_there_has_the_exception_of_the_standard(server: ModbusServer) -> None:
    asked = {
        b"\x01\x00\x00\x00\x01": b"\x81\x01",
        b"\x2b\x0e\x01\x00": b"\xab\x01",
        b"\x04\x00\x80\x00\x01": b"\x84\x02",
        b"\x04\x00\x7f\x00\x02": b"\x84\x02",
        b"\x03\x00\x1f\x00\x02": b"\x83\x02",
        b"\x04\x00\x00\x00\x00": b"\x84\x03",
        b"\x04\x00\x00\x00\x7e": b"\x84\x03",
        b"\x04\x00\x00\x00": b"\x84\x03",
        b"\x06\x00\x20\x00\x01": b"\x86\x02",
        b"\x06\x00\x64\x00\x01": b"\x86\x02",
        b"\x06\x00": b"\x86\x03",
        b"\x10\x00\x1f\x00\x02\x04\x00\x00\x00\x00": b"\x90\x02",
        b"\x10\x00\x00\x00\x02\x03\x00\x00\x00": b"\x90\x03",
        b"\x10\x00\x00\x00\x02\x04\x00\x00\x00": b"\x90\x03",
        b"\x17\x00\x00\x00\x01\x00\x40\x00\x01\x02\x00\x00": b"\x97\x02",
    }
    for request, expected in asked.items():
        assert raw(server.port, request) == expected, request.hex()


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(struct.pack(">HHHB", 7, 0, len(request) + 1, 1) + request)
        head = client.recv(7)
        assert head[:4] == b"\x00\x07\x00\x00"
        return client.recv(struct.unpack(">H", head[4:6])[0] - 1)


def test_a_request_is_served_from_one_report(exchange: Exchange, link: ModbusLink) -> None:
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.wait(0.0002):
            number = (number + 1) & 0xFFFF
            exchange.publish(Report(sequence_begin=number, sequence_end=number, result_id=number, reason=number))

    thread = threading.Thread(target=publish)
    thread.start()
    seen = set()
    for _ in range(300):
        report = link.read()
        assert report.sequence_begin == report.sequence_end == report.result_id == report.reason
        seen.add(report.result_id)
    stop.set()
    thread.join()
    assert len(seen) > 10


def test_without_control_every_write_is_refused(exchange: Exchange) -> None:
    with (
        closing(ModbusServer(Modbus("127.0.0.1:0"), exchange, controls=False)) as server,
        ModbusTcpClient("127.0.0.1", port=server.port) as client,
    ):
        for first in range(0, 300, 7):
            assert client.write_registers(first, [0xFFFF] * 3).isError()
        assert client.read_input_registers(0, count=64).registers[17] == 0x5AA5
    assert (exchange.orders, exchange.holder) == (Orders(), "")


def test_a_second_master_reads_only(server: ModbusServer, exchange: Exchange, link: ModbusLink) -> None:
    link.write(ORDERS)
    with (
        ModbusTcpClient("127.0.0.1", port=server.port, source_address=("127.0.0.2", 0)) as stranger,
        pytest.raises((ModbusException, OSError)),
    ):
        stranger.read_input_registers(0, count=1)
    exchange.leave("modbus 127.0.0.1")
    assert exchange.order("opcua", lambda _: Orders(1))
    assert raw(server.port, b"\x06\x00\x00\x00\x00") == b"\x86\x06"
    assert exchange.orders == Orders(1)
    assert link.read().verdict == 0x5AA5


def test_an_address_that_is_not_listed_is_refused_and_logged(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Modbus("127.0.0.1:0", ("192.168.0.0/24", "10.1.1.1"))
    with closing(ModbusServer(settings, exchange, controls=True)) as server:
        for _ in range(3):
            with (
                socket.create_connection(("127.0.0.1", server.port), 10) as client,
                contextlib.suppress(ConnectionResetError),
            ):
                assert client.recv(1) == b""
    assert "127.0.0.1 is not in modbus.clients: refused" in caplog.text
    assert caplog.text.count("refused") == 1, "a flood of them is one line"


@pytest.mark.parametrize("listen", ["localhost:502", "127.0.0.1", "127.0.0.1:70000", "192.0.2.1:502", ""])
def test_an_address_that_is_none_of_this_machine(exchange: Exchange, listen: str) -> None:
    with pytest.raises(ConfigError, match=r"modbus\.listen"):
        ModbusServer(Modbus(listen), exchange, controls=True)


def test_a_port_that_is_taken(server: ModbusServer, exchange: Exchange) -> None:
    with pytest.raises(ConfigError, match="choose another"):
        ModbusServer(Modbus(f"127.0.0.1:{server.port}"), exchange, controls=True)


def test_clients_that_are_no_addresses(exchange: Exchange) -> None:
    with pytest.raises(ConfigError, match=r"modbus\.clients"):
        ModbusServer(Modbus("127.0.0.1:0", ("plc.factory",)), exchange, controls=True)


class TestHostile:
    """Nothing a client sends makes a verdict, stops the server, or keeps others from being served."""

    @pytest.mark.fault("P6")
    def test_a_thousand_sockets(self, server: ModbusServer, link: ModbusLink) -> None:
        link.write(ORDERS)
        mine = link._socket
        with contextlib.ExitStack() as stack:
            for number in range(1000):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
                if number % 100 == 0:
                    assert link.read() == REPORT
            assert link.read() == REPORT
            assert link._socket is mine, "who has control is not dropped for those that never ask"
            assert len(server._connections) <= MOST_CONNECTIONS

    @pytest.mark.fault("P6")
    def test_what_is_no_modbus(self, server: ModbusServer, link: ModbusLink) -> None:
        generator = random.Random(5)
        for size in (1, 7, 8, 60, 300, 5000):
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                client.sendall(generator.randbytes(size))
        for head in (b"\x00\x01\x00\x01\x00\x06\x01", b"\x00\x01\x00\x00\xff\xff\x01", b"\x00\x01\x00\x00\x00\x00\x01"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                client.sendall(head)
                assert client.recv(1) == b""
        assert link.read() == REPORT

    @pytest.mark.fault("P6")
    def test_random_requests_change_no_verdict(self, server: ModbusServer, exchange: Exchange) -> None:
        generator = random.Random(6)
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            for _ in range(500):
                request = bytes([generator.choice([3, 4, 6, 16, 23, generator.randrange(256)])])
                request += generator.randbytes(generator.randrange(1, 40))
                client.sendall(struct.pack(">HHHB", 1, 0, len(request) + 1, 1) + request)
                length = struct.unpack(">H", client.recv(7)[4:6])[0]
                assert 2 <= len(client.recv(length - 1)) <= 253
        assert exchange.report == REPORT

    @pytest.mark.fault("P6")
    def test_a_flood_is_slowed_and_others_are_served(self, server: ModbusServer, link: ModbusLink) -> None:
        stop = threading.Event()
        request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 1)
        answered = [0]

        def flood() -> None:
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                client.settimeout(0.2)
                while not stop.is_set():
                    try:
                        client.sendall(request * 50)
                        answered[0] += len(client.recv(65536)) // 11
                    except TimeoutError:
                        continue

        threads = [threading.Thread(target=flood) for _ in range(2)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        slowest = 0.0
        for _ in range(100):
            before = time.monotonic()
            link.read()
            slowest = max(slowest, time.monotonic() - before)
        stop.set()
        for thread in threads:
            thread.join()
        assert slowest < 1.0
        assert answered[0] < 2 * (2000 * (time.monotonic() - begun) + 1000)

    @pytest.mark.fault("P6")
    def test_a_client_that_never_reads_is_no_burden(self, server: ModbusServer, link: ModbusLink) -> None:
        request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 120)
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            client.setblocking(False)
            try:
                while True:
                    client.send(request * 100)
            except BlockingIOError:
                pass
            assert link.read() == REPORT


def test_the_whole_report_fits_two_requests() -> None:
    assert REPORT_REGISTERS == 128
