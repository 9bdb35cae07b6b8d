"""A TCP server in a thread of its own: who may connect, how many, how fast, and how long they may be silent."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field

from csflow.runtime.errors import ConfigError

__all__ = ["ENDS", "MOST_CONNECTIONS", "Connection", "Server", "address", "cancel_others", "networks"]

MOST_CONNECTIONS = 16
SILENT_S = 60.0
"""A client that asks nothing for so long, or does not read what it asked for, is dropped."""
SWEEP_S = 1.0
BURST = 200
REQUESTS_S = 2000.0
REFUSALS_TOLD_S = 10.0
START_S = 10.0

log = logging.getLogger("csflow.plc")

ENDS = (OSError, EOFError, asyncio.LimitOverrunError, asyncio.TimeoutError, asyncio.CancelledError)
"""How a conversation may end: the client left, was dropped, sent what is no request, or the server closes."""


def address(text: str, key: str) -> tuple[str, int]:
    """Host and port from '127.0.0.1:502' or '[::1]:502'. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        found = None
    if found is None or not port.isdecimal() or int(port) > 0xFFFF:
        raise ConfigError(f"{key} {text!r}: expected an IP address and a port, such as 127.0.0.1:502")
    return str(found), int(port)


def networks(texts: Sequence[str], key: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Networks from '192.168.0.0/24' or '10.0.0.5'. Raises ConfigError."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}; expected addresses or networks such as 192.168.0.0/24") from None


async def cancel_others() -> None:
    """End every other task of this loop, before it is closed."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(eq=False)
class Connection:
    """One client."""

    peer: str
    """Its address."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard_s: float = field(default_factory=time.monotonic)
    """When it last asked something."""
    asked: bool = False
    """Whether it has asked anything at all."""
    credit: float = BURST
    """Requests it may make at once."""

    async def pace(self) -> None:
        """Count one request; whoever asks too fast waits, so that nobody else does."""
        now_s = time.monotonic()
        self.credit = min(BURST, self.credit + (now_s - self.heard_s) * REQUESTS_S) - 1
        self.heard_s, self.asked = now_s, True
        if self.credit < 0:
            await asyncio.sleep(-self.credit / REQUESTS_S)

    def drop(self) -> None:
        """Close without waiting for the peer."""
        self.writer.transport.abort()


class Server(ABC):
    """Listens from the time it is made. Subclasses serve one connection at a time in `serve`."""

    def __init__(self, kind: str, listen: str, clients: Sequence[str]) -> None:
        """Begin to listen.

        Args:
            kind: its section in station.toml, for messages.
            listen: address and port.
            clients: addresses and networks that may connect; all others are refused and logged.

        Raises:
            ConfigError: the address is wrong, taken, or none of this machine.
        """
        host, port = address(listen, f"{kind}.listen")
        self._kind = kind
        self._allowed = networks(clients, f"{kind}.clients")
        self._connections: list[Connection] = []
        self._refused_s = -REFUSALS_TOLD_S
        self._refused = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"csflow-plc-{kind}", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._accepted, host, port, limit=4096, backlog=1024)
        try:
            self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(START_S)
        except OSError as error:
            self._end()
            why = error.strerror or str(error)
            raise ConfigError(f"{kind}.listen {listen}: cannot listen there ({why}): choose another") from None
        self.port = int(self._server.sockets[0].getsockname()[1])
        asyncio.run_coroutine_threadsafe(self._sweep(), self._loop)
        self.name = f"{kind} {host}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive() and self._server.is_serving()

    @abstractmethod
    async def serve(self, connection: Connection) -> None:
        """Answer a client until it leaves. May raise what streams raise."""

    @abstractmethod
    def holds(self, connection: Connection) -> bool:
        """Whether this client has control; such a one is not dropped for a newcomer."""

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str(writer.get_extra_info("peername")[0])
        connection = Connection(peer, reader, writer)
        if not self._admit(connection):
            connection.drop()
            return
        self._connections.append(connection)
        try:
            with contextlib.suppress(*ENDS):
                await self.serve(connection)
        finally:
            if connection in self._connections:
                self._connections.remove(connection)
            connection.drop()

    async def _sweep(self) -> None:
        """Drop who was silent too long: one look at all of them, where a time limit each would cost every request."""
        while True:
            await asyncio.sleep(SWEEP_S)
            oldest_s = time.monotonic() - SILENT_S
            for connection in self._connections:
                if connection.heard_s < oldest_s:
                    connection.drop()

    def _admit(self, connection: Connection) -> bool:
        peer = ipaddress.ip_address(connection.peer)
        if not any(peer in network for network in self._allowed):
            self._refuse(connection.peer)
            return False
        if len(self._connections) < MOST_CONNECTIONS:
            return True
        # A cable that was pulled leaves connections that never end: the one that was silent longest gives way.
        # Before it those that never asked, and last of all those of the client in control.
        oldest = min(self._connections, key=lambda c: (self.holds(c) and c.asked, c.asked, c.heard_s))
        self._connections.remove(oldest)
        oldest.drop()
        return True

    def _refuse(self, peer: str) -> None:
        self._refused += 1
        now_s = time.monotonic()
        if now_s - self._refused_s >= REFUSALS_TOLD_S:
            log.warning("%s: %s is not in %s.clients: refused (%d so far)", self.name, peer, self._kind, self._refused)
            self._refused_s = now_s

    def close(self) -> None:
        """Listen no more and drop every client. May be called twice."""
        if self._loop.is_closed():
            return

        async def end() -> None:
            self._server.close()
            for connection in self._connections:
                connection.drop()
            await cancel_others()

        with contextlib.suppress(FutureTimeout):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(START_S)
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()
