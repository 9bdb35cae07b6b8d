"""Every adapter that a rehearsal can play over, by the name of its section in station.toml."""

from __future__ import annotations

import socket
from collections.abc import Callable

from snap7.server import Server
from snap7.type import SrvArea

from csflow.runtime.plc.adapters.s7 import ORDER_BYTES, REPORT_BYTES, S7Client
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, pack, unpack
from csflow.runtime.plc.settings import S7
from csflow.runtime.plc.simulator.served import SERVED, Served

from .line_link import ServedLines
from .opcua_link import ServedOpcUa


class ServedS7:
    """A controller's data block, which csflow polls and the simulated program works on."""

    def __init__(self, exchange: Exchange) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self._block = bytearray(ORDER_BYTES + REPORT_BYTES)
        self._server = Server()
        self._server.register_area(SrvArea.DB, 1, self._block)
        self._server.start(port)
        self._client = S7Client(S7(f"127.0.0.1:{port}", db=1, period_ms=1), exchange, controls=True)

    def link(self) -> ServedS7:
        return self

    def read(self) -> Report:
        return unpack(Report, bytes(self._block[ORDER_BYTES:]))

    def write(self, orders: Orders) -> None:
        self._block[:ORDER_BYTES] = pack(orders)

    def close(self) -> None:
        self._client.close()
        self._server.stop()
        self._server.destroy()


OVER: dict[str, Callable[[Exchange], Served]] = {**SERVED, "lines": ServedLines, "s7": ServedS7, "opcua": ServedOpcUa}
