"""The S7 client against a server that others wrote, which plays the controller."""

from __future__ import annotations

import builtins
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from snap7.server import Server
from snap7.type import SrvArea

from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.s7 import ORDER_BYTES, REPORT_BYTES, S7Client
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, pack, unpack
from csflow.runtime.plc.settings import S7

LONG_S = 20.0
REPORT = Report(state=6, boot_id=7, verdict=0x5AA5, score=1.5, threshold=2.0, result_part_id="K-1")
ORDERS = Orders(3, 9, 0xA1B2C3D4, deadline_ms=50, part_id="housing-12")


class Controller:
    """A data block on a port of loopback."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.block = bytearray(ORDER_BYTES + REPORT_BYTES)
        self.server = self.start()

    def start(self) -> Server:
        made = Server()
        made.register_area(SrvArea.DB, 1, self.block)
        made.start(self.port)
        return made

    @property
    def report(self) -> Report:
        return unpack(Report, bytes(self.block[ORDER_BYTES:]))

    def want(self, orders: Orders) -> None:
        self.block[:ORDER_BYTES] = pack(orders)


@pytest.fixture
def controller() -> Iterator[Controller]:
    made = Controller()
    yield made
    made.server.stop()
    made.server.destroy()


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange()
    made.publish(REPORT)
    return made


@pytest.fixture
def client(controller: Controller, exchange: Exchange) -> Iterator[S7Client]:
    made = S7Client(S7(f"127.0.0.1:{controller.port}", db=1, period_ms=2), exchange, controls=True)
    yield made
    made.close()


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_block_carries_orders_and_report(client: S7Client, controller: Controller, exchange: Exchange) -> None:
    assert isinstance(client, Adapter)
    until(lambda: controller.report == REPORT)
    assert exchange.holder == "", "an empty block takes no control"
    controller.want(ORDERS)
    until(lambda: exchange.orders == ORDERS)
    assert exchange.holder == client.name
    exchange.publish(Report(state=7, threshold=2.0, score=0.0))
    until(lambda: controller.report.state == 7)


def test_without_control_nothing_is_read(controller: Controller, exchange: Exchange) -> None:
    controller.want(ORDERS)
    made = S7Client(S7(f"127.0.0.1:{controller.port}", db=1, period_ms=2), exchange, controls=False)
    until(lambda: controller.report == REPORT)
    assert (exchange.orders, exchange.holder) == (Orders(), "")
    made.close()


def test_at_the_end_the_controller_reads_no_verdict(client: S7Client, controller: Controller) -> None:
    until(lambda: controller.report == REPORT)
    client.close()
    assert (controller.report.status, controller.report.verdict) == (0, 0)
    client.close()


@pytest.mark.fault("P3")
def test_a_controller_that_goes_and_comes_back(
    client: S7Client, controller: Controller, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    until(lambda: controller.report == REPORT)
    controller.server.stop()
    exchange.publish(Report(state=3))
    until(lambda: "not reached" in caplog.text)
    controller.server = controller.start()
    until(lambda: controller.report.state == 3)
    assert f"{client.name}: reached" in caplog.text


def test_an_address_without_a_port(exchange: Exchange) -> None:
    with pytest.raises(ConfigError, match=r"s7\.address"):
        S7Client(S7("192.168.0.10", db=1), exchange, controls=True)


def test_a_missing_library_names_the_extra(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("snap7"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BackendUnavailable, match=re.escape(pip_install("s7"))):
        S7Client(S7("127.0.0.1:102", db=1), exchange, controls=True)
