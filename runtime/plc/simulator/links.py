"""How the simulated controller reaches a station: through memory, or through a real adapter over the network."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Protocol

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import ORDER_REGISTERS, REPORT_REGISTERS, Orders, Report, pack, unpack

__all__ = ["Link", "ModbusLink", "NullLink", "open_link"]

HEADER = struct.Struct(">HHHB")
TIMEOUT_S = 1.0
READ_INPUT, WRITE_MANY = 4, 16
MOST_READ = 125
"""Registers in one request, by the standard; those beyond are not used yet."""


class Link(Protocol):
    """One controller's way to one station."""

    def read(self) -> Report:
        """What the station says. Raises OSError while it cannot be reached."""

    def write(self, orders: Orders) -> None:
        """Tell it what is wanted. Raises OSError while it cannot be reached."""

    def close(self) -> None:
        """Leave. May be called twice."""


class NullLink:
    """No network: for tests of everything but the network."""

    def __init__(self, exchange: Exchange, who: str = "null") -> None:
        self._exchange, self._who = exchange, who

    def read(self) -> Report:
        """The newest report."""
        self._exchange.show(self._who)
        return self._exchange.report

    def write(self, orders: Orders) -> None:
        """All registers at once."""
        if not self._exchange.order(self._who, lambda _: orders):
            raise PermissionError("another client has control")

    def close(self) -> None:
        """Give control back."""
        self._exchange.leave(self._who)


class ModbusLink:
    """A Modbus TCP client: one request reads, one writes; connects when it must."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._socket: socket.socket | None = None
        self._number = 0

    def read(self) -> Report:
        """One request for all registers that are used."""
        found = self._ask(struct.pack(">BHH", READ_INPUT, 0, MOST_READ))[2:]
        return unpack(Report, found.ljust(2 * REPORT_REGISTERS, b"\0"))

    def write(self, orders: Orders) -> None:
        """All registers in one request, which the station applies as one."""
        head = struct.pack(">BHHB", WRITE_MANY, 0, ORDER_REGISTERS, 2 * ORDER_REGISTERS)
        self._ask(head + pack(orders))

    def _ask(self, request: bytes) -> bytes:
        self._number = (self._number + 1) & 0xFFFF
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._place, TIMEOUT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(HEADER.pack(self._number, 0, len(request) + 1, 1) + request)
            number, _, length, _ = HEADER.unpack(self._receive(HEADER.size))
            answer = self._receive(length - 1)
        except OSError:
            self.close()
            raise
        if number != self._number or answer[0] != request[0]:
            self.close()
            raise ConnectionError(f"the station answered {answer[:2].hex()} to function {request[0]}")
        return answer

    def _receive(self, size: int) -> bytes:
        assert self._socket is not None
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the station has closed the connection")
            data += chunk
        return data

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def open_link(text: str) -> Link:
    """The link that 'modbus://127.0.0.1:502' names. Raises ConfigError."""
    kind, _, place = text.partition("://")
    host, _, port = place.rpartition(":")
    if kind != "modbus" or not host or not port.isdecimal():
        raise ConfigError(f"no station {text!r}: expected modbus://127.0.0.1:502")
    return ModbusLink(host.strip("[]"), int(port))
