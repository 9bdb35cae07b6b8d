"""Adapters on a free port of loopback, each with the client that a simulated controller reaches it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from csflow.runtime.plc.adapters.modbus import ModbusServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.settings import Modbus
from csflow.runtime.plc.simulator.links import Link, ModbusLink, NullLink

__all__ = ["SERVED", "Served", "ServedModbus", "ServedNull"]


class Served(Protocol):
    """An adapter that serves a station, and the way of a controller to it."""

    def link(self) -> Link:
        """A link for a new controller."""

    def close(self) -> None:
        """Serve no more."""


class ServedNull:
    """No adapter: the controller writes into the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def link(self) -> Link:
        """A link through memory."""
        return NullLink(self._exchange)

    def close(self) -> None:
        """Nothing to close."""


class ServedModbus:
    """The Modbus server on a free port of loopback."""

    def __init__(self, exchange: Exchange) -> None:
        self._server = ModbusServer(Modbus("127.0.0.1:0"), exchange, controls=True)

    def link(self) -> Link:
        """A Modbus client."""
        return ModbusLink("127.0.0.1", self._server.port)

    def close(self) -> None:
        """Close the server."""
        self._server.close()


SERVED: dict[str, Callable[[Exchange], Served]] = {"null": ServedNull, "modbus": ServedModbus}
"""By the name of their section in station.toml."""
