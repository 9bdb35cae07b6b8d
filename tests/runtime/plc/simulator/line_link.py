"""A gateway from registers to the line protocol."""

from __future__ import annotations

import contextlib
import socket

from csflow.runtime.faults import Verdict
from csflow.runtime.plc.adapters.lines import LineServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders
from csflow.runtime.plc.settings import Lines

from .call_link import CallLink, Look

CODES = {"OK": Verdict.OK, "NOK": Verdict.NOK, "UNC": Verdict.UNCERTAIN, "ERR": Verdict.ERROR}
TIMEOUT_S = 5.0


class LineLink(CallLink):
    """A line client; ENABLE=0 with a part in work leaves."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._socket: socket.socket | None = None
        self._data = b""
        self.extra = 0
        """Results that nobody waits for, or a second one for an id: there must be none."""

    def look(self) -> Look:
        self._say("STA")
        while (words := self._hear())[0] != "STA":
            self._take(words)
        state, ready, recipe, error, warning, boot = (int(word) for word in words[1:7])
        return Look(state, bool(ready), recipe, error, warning, boot)

    def _take(self, words: list[str]) -> None:
        if words[0] == "ACK":
            self.acked = bool(self.before.control & Control.TRIGGER)
        elif words[0] == "NAK":
            self.asked = 0
        elif words[0] == "RCP":
            self.prepared(int(words[1]), int(words[2]))
        elif words[0] == "RES":
            self.extra += int(words[1]) != self.asked
            self.show(int(words[1]), int(words[2]), CODES[words[3]])

    def live(self, orders: Orders) -> None:
        self._say("HBT", str(orders.heartbeat))

    def trigger(self, orders: Orders) -> None:
        self._say("TRG", str(orders.trigger_id), orders.part_id)

    def prepare(self, recipe: int) -> None:
        self._say("RCP", str(recipe))

    def end(self) -> None:
        self.close()

    def _say(self, *words: str) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(" ".join(words).encode() + b"\r\n")
        except OSError:
            self.close()
            raise

    def _hear(self) -> list[str]:
        assert self._socket is not None
        while b"\n" not in self._data:
            try:
                data = self._socket.recv(4096)
            except OSError:
                self.close()
                raise
            if not data:
                self.close()
                raise ConnectionError("the station has closed the connection")
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        return line.decode().split()

    def close(self) -> None:
        """Leave; a part in work is ended by that."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self._data, self.asked, self.acked, self.preparing = None, b"", 0, False, 0


class ServedLines:
    """The line server on a free port of loopback."""

    def __init__(self, exchange: Exchange) -> None:
        self._server = LineServer(Lines("127.0.0.1:0"), exchange, controls=True)
        self._links: list[LineLink] = []

    def link(self) -> LineLink:
        """A link for a new controller."""
        self._links.append(LineLink(self._server.port))
        return self._links[-1]

    def close(self) -> None:
        """Serve no more. Fails where a trigger had a second result."""
        self._server.close()
        assert sum(link.extra for link in self._links) == 0, "RES without its TRG"
