"""A gateway from registers to the line protocol: so the same simulated controller speaks to the line server too."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.adapters.lines import LineServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.settings import Lines

CODES = {"OK": Verdict.OK, "NOK": Verdict.NOK, "UNC": Verdict.UNCERTAIN, "ERR": Verdict.ERROR}
TIMEOUT_S = 5.0


class LineLink:
    """A `Link`. READY is what STA says while nothing is in work and no result waits; ENABLE=0 with a part leaves.

    A command waits for the end of the part, for the protocol has one of both at a time.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._data = b""
        self._before = Orders()
        self._asked = ""
        """Of the trigger that has no RES yet."""
        self._acked = False
        self._recipe = 0
        """That is wanted and not there yet."""
        self._preparing = False
        self._ended = Status(0)
        self._shown = Report()
        """The result that waits for RESULT_ACK, or the last one without its verdict."""
        self.extra = 0
        """Results that nobody waits for, or a second one for an id: there must be none."""

    def read(self) -> Report:
        """Ask for the status; whatever came before its answer counts."""
        self._say("STA")
        while (words := self._hear())[0] != "STA":
            self._take(words)
        state, ready, recipe, error, warning, boot = (int(word) for word in words[1:7])
        status = Status(self._shown.status) | self._ended
        if self._acked:
            status |= Status.TRIGGER_ACK
        if self._asked:
            status |= Status.BUSY
        elif self._recipe:
            status |= Status.CMD_EXECUTING
        elif ready and not status & Status.RESULT_VALID and self._before.control & Control.ENABLE:
            status |= Status.READY
        about = {"state": state, "recipe": recipe, "error_code": error, "warning_code": warning, "boot_id": boot}
        return replace(self._shown, status=status, **about)

    def _take(self, words: list[str]) -> None:
        if words[0] == "ACK":
            self._acked = bool(self._before.control & Control.TRIGGER)
        elif words[0] == "NAK":
            self._asked = ""
        elif words[0] == "RCP":
            self._preparing = False
            if int(words[2]) != Reason.BUSY and int(words[1]) == self._recipe:
                self._recipe, self._ended = 0, Status.CMD_FAILED if int(words[2]) else Status.CMD_DONE
        elif words[0] == "RES":
            self.extra += words[1] != self._asked
            self._asked = ""
            sequence = (self._shown.sequence_begin + 1) & 0xFFFF
            self._shown = Report(
                status=Status.RESULT_VALID,
                sequence_begin=sequence,
                sequence_end=sequence,
                verdict=CODES[words[3]].code,
                result_trigger_id=int(words[1]),
                result_boot_id=int(words[2]),
            )

    def write(self, orders: Orders) -> None:
        """Act on edges, as the station does."""
        control, rose = Control(orders.control), Control(orders.control) & ~Control(self._before.control)
        self._before = orders
        self._command(orders, control, rose)
        if not control & Control.ENABLE:
            self._give_up()
            return
        self._say("HBT", str(orders.heartbeat))
        if not control & Control.TRIGGER:
            self._acked = False
        if rose & Control.RESULT_ACK:
            self._forget()
        if rose & Control.TRIGGER and not self._asked and not self._preparing and not self._shown.status:
            self._asked = str(orders.trigger_id)
            self._say("TRG", self._asked, orders.part_id)
        if self._recipe and not self._asked and not self._preparing:
            self._preparing = True
            self._say("RCP", str(self._recipe))

    def _command(self, orders: Orders, control: Control, rose: Control) -> None:
        if rose & Control.EXECUTE:
            self._recipe = orders.argument
        if not control & Control.EXECUTE:
            self._recipe, self._ended = 0, Status(0)

    def _give_up(self) -> None:
        if self._asked:
            self.close()
        self._forget()

    def _forget(self) -> None:
        self._acked = False
        sequence = self._shown.sequence_begin
        self._shown = Report(sequence_begin=sequence, sequence_end=sequence)

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
        self._socket, self._data, self._asked, self._acked, self._preparing = None, b"", "", False, False


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
