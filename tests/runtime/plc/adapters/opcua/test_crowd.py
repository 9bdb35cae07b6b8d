"""Who gives way when too many connections of one address are not known."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from csflow.runtime.plc.adapters.opcua import crowd
from csflow.runtime.plc.adapters.opcua.crowd import lengthen_queue, thin
from csflow.runtime.plc.adapters.opcua.trust import Trust

LONG_S = 30.0
LINUX = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell what came")


class Connected:
    """A connection as asyncua has it, with a real socket; `theirs` is the other end."""

    def __init__(self, server: socket.socket, activated: bool = False) -> None:
        self.theirs = socket.create_connection(server.getsockname())
        self.ours, self.peer_name = server.accept()
        self.dropped = False
        session = SimpleNamespace(is_activated=lambda: activated)
        channel = SimpleNamespace(is_open=lambda: False)
        self.processor = SimpleNamespace(session=session, _connection=channel)
        self.transport = self

    def get_extra_info(self, _name: str) -> socket.socket:
        return self.ours

    def abort(self) -> None:
        self.dropped = True

    def close(self) -> None:
        self.theirs.close()
        self.ours.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(crowd, "MOST_STRANGERS", 2)
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@LINUX
@pytest.mark.fault("P8")
def test_those_that_never_said_a_word_go_first_and_those_with_a_session_stay(
    server: socket.socket, tmp_path: Path
) -> None:
    clients = [Connected(server, activated=number == 0) for number in range(5)]
    clients[1].theirs.sendall(b"HEL")
    end = time.monotonic() + LONG_S
    while not crowd._speaks(clients[1]) and time.monotonic() < end:
        time.sleep(0.002)
    thin(clients, Trust(tmp_path, ()))
    assert [client.dropped for client in clients] == [False, False, True, True, False]
    for client in clients:
        client.close()


def test_a_trusted_certificate_on_an_open_channel_is_known(server: socket.socket, tmp_path: Path) -> None:
    class Known(Trust):
        def name(self, certificate: bytes | None) -> str:
            return "plc.der" if certificate == b"plc" else ""

    clients: list[Any] = [Connected(server) for _ in range(4)]
    for client, certificate in zip(clients, (b"plc", b"other", b"", None), strict=True):
        policy = SimpleNamespace(peer_certificate=certificate)
        client.processor._connection = SimpleNamespace(is_open=lambda: True, security_policy=policy)
    thin(clients, Known(tmp_path, ()))
    assert [client.dropped for client in clients] == [False, True, False, False]
    for client in clients:
        client.close()


def test_more_may_wait_to_be_accepted(server: socket.socket) -> None:
    server.listen(1)
    lengthen_queue([server])
    crowd_of = [socket.create_connection(server.getsockname(), LONG_S) for _ in range(50)]
    for one in crowd_of:
        one.close()
