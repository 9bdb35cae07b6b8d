"""What every TCP server here does with clients that say nothing, or that do not listen."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from csflow.runtime.plc.adapters import serving
from csflow.runtime.plc.adapters.modbus import ModbusServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.settings import Modbus

LONG_S = 30.0
READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 125)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModbusServer]:
    """A server that drops whoever was silent for a tenth of a second."""
    monkeypatch.setattr(serving, "SILENT_S", 0.1)
    monkeypatch.setattr(serving, "SWEEP_S", 0.02)
    monkeypatch.setattr(serving, "REQUESTS_S", 1e6)
    made = ModbusServer(Modbus("127.0.0.1:0"), Exchange(), controls=False)
    yield made
    made.close()


def test_who_says_nothing_is_dropped(impatient: ModbusServer) -> None:
    place = "127.0.0.1", impatient.port
    with socket.create_connection(place, LONG_S) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""


def test_who_does_not_read_the_answers_is_dropped(impatient: ModbusServer) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(LONG_S)
        client.connect(("127.0.0.1", impatient.port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.sendall(READ * 1_000_000)
