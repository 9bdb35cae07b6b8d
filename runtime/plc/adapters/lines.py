"""TCP line protocol: for programs and robots that speak in text. UTF-8, CRLF or LF, at most 1024 bytes a line.

    TRG <id> [part]    ACK <id>, later RES <id> <boot> OK|NOK|UNC|ERR <score> <ratio> <p> <quality> <reason>
                       or NAK <id> <reason>: no result follows
    STA                STA <state> <ready> <recipe> <error> <warning> <boot>
    RCP <n>            RCP <n> <reason>, when it is in force (0) or refused
    RST                RST <reason>
    HBT <n>            HBT <n> <counter>

Exactly one RES for each ACK, on a connection that lasts. Numbers that are not there are '-'.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.adapters.serving import ENDS, MOST_CONNECTIONS, Connection, Server
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.settings import Lines
from csflow.runtime.plc.states import Command

__all__ = ["LineServer"]

MOST_BYTES = 1024
LONGEST_PART = 32
LARGEST_ID = 0xFFFFFFFF
LONGEST_NUMBER = 20
"""Digits, leading zeros included."""
PREPARE_S = 900.0
WORDS = {v.code: w for v, w in ((Verdict.OK, "OK"), (Verdict.NOK, "NOK"), (Verdict.UNCERTAIN, "UNC"))}

T = TypeVar("T")
Work: TypeAlias = Callable[[Dialogue, list[str]], Coroutine[Any, Any, None]]


class LineServer(Server):
    """See the module."""

    def __init__(self, settings: Lines, exchange: Exchange, controls: bool) -> None:
        """Begin to listen; with `controls` the first client that triggers has control. Raises as `Server` does."""
        self._exchange, self._controls = exchange, controls
        self._threads = ThreadPoolExecutor(MOST_CONNECTIONS + 1, "csflow-plc-lines-client")
        super().__init__("lines", settings.listen, settings.clients)

    def holds(self, connection: Connection) -> bool:
        """Whether this very connection has control."""
        return self._exchange.holder == _who(connection)

    async def serve(self, connection: Connection) -> None:
        """Answer lines until the client leaves or sends a line without end."""
        client = _Client(self, connection)
        try:
            while True:
                line = await connection.reader.readuntil(b"\n")
                if len(line) > MOST_BYTES:
                    return
                await connection.pace()
                await client.take(line.decode("utf-8", "replace").split())
        finally:
            client.leave()

    async def wait(self, call: Callable[[], T]) -> T:
        """What `call` gives; it may wait, nobody else does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    @property
    def report(self) -> Report:
        """The newest report."""
        return self._exchange.report

    def dialogue(self, connection: Connection) -> Dialogue | None:
        """The way to control; None where this adapter has none."""
        return Dialogue(self._exchange, _who(connection)) if self._controls else None

    def close(self) -> None:
        """Listen no more and drop every client. May be called twice."""
        super().close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Client:
    """One connection: at most one trigger or command at a time, status at any time."""

    def __init__(self, server: LineServer, connection: Connection) -> None:
        self._server, self._connection = server, connection
        self._dialogue = server.dialogue(connection)
        self._work: asyncio.Task[None] | None = None
        self._busy = False

    async def take(self, words: list[str]) -> None:
        """Answer one line."""
        if self._dialogue is not None:
            self._dialogue.sign()
        name, arguments = (words[0].upper(), words[1:]) if words else ("", [])
        if name == "STA":
            await self._say("STA", *_status(self._server.report))
        elif name == "HBT" and len(arguments) == 1:
            if self._dialogue is not None:
                self._dialogue.keep()
            await self._say("HBT", arguments[0], self._server.report.heartbeat)
        elif name == "TRG" and arguments:
            await self._begin("NAK", arguments[0], self._trigger, arguments)
        elif name == "RCP" and len(arguments) == 1:
            await self._begin("RCP", arguments[0], self._prepare, arguments)
        elif name == "RST":
            await self._begin("RST", None, self._reset, arguments)
        else:
            await self._say("NAK", "-", int(Reason.REFUSED_COMMAND))

    async def _begin(self, refusal: str, about: str | None, work: Work, arguments: list[str]) -> None:
        head = (refusal,) if about is None else (refusal, about)
        if self._dialogue is None:
            await self._say(*head, int(Reason.NOT_OWNER))
        elif self._busy:
            await self._say(*head, int(Reason.BUSY))
        else:
            self._busy = True
            self._work = asyncio.ensure_future(self._do(work, self._dialogue, arguments))

    async def _do(self, work: Work, dialogue: Dialogue, arguments: list[str]) -> None:
        # The client may leave meanwhile: `serve` hears of it, and ends this, perhaps before it began.
        with contextlib.suppress(*ENDS):
            await work(dialogue, arguments)

    async def _trigger(self, dialogue: Dialogue, arguments: list[str]) -> None:
        trigger_id, part = _number(arguments[0], LARGEST_ID), " ".join(arguments[1:])[:LONGEST_PART]
        reason = await self._server.wait(lambda: dialogue.trigger(trigger_id, part))
        if reason:
            await self._end("NAK", arguments[0], int(reason))
            return
        await self._say("ACK", arguments[0])
        report = await self._server.wait(dialogue.result)
        await self._server.wait(dialogue.acknowledge)
        await self._end("RES", arguments[0], *_result(report))

    async def _prepare(self, dialogue: Dialogue, arguments: list[str]) -> None:
        number = _number(arguments[0], 0xFFFF)
        reason = await self._server.wait(lambda: dialogue.command(Command.PREPARE_RECIPE, number, PREPARE_S))
        await self._end("RCP", arguments[0], int(reason))

    async def _reset(self, dialogue: Dialogue, _arguments: list[str]) -> None:
        await self._end("RST", int(await self._server.wait(lambda: dialogue.command(Command.RESET))))

    async def _end(self, *words: object) -> None:
        # Whoever hears this may ask again at once.
        self._busy = False
        await self._say(*words)

    async def _say(self, *words: object) -> None:
        self._connection.writer.write((" ".join(str(w) for w in words) + "\r\n").encode())
        await self._connection.writer.drain()

    def leave(self) -> None:
        """The connection is gone."""
        if self._dialogue is not None:
            self._dialogue.leave()
        if self._work is not None:
            self._work.cancel()


def _who(connection: Connection) -> str:
    return f"lines {connection.peer} {connection.writer.get_extra_info('peername')[1]}"


def _number(text: str, largest: int) -> int:
    """The number, or 0, which is never a part's or a recipe's."""
    fits = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER and int(text) <= largest
    return int(text) if fits else 0


def _status(report: Report) -> tuple[object, ...]:
    ready = int(bool(report.status & Status.READY))
    return report.state, ready, report.recipe, report.error_code, report.warning_code, report.boot_id


def _result(report: Report | None) -> tuple[object, ...]:
    if report is None:
        return 0, "ERR", "-", "-", "-", "0000", int(Reason.ABORTED)
    numbers = (report.score, _share(report.ratio_x1000, 1e3), _share(report.p_x10000, 1e4))
    score, ratio, p = (f"{n:.6g}" if math.isfinite(n) else "-" for n in numbers)
    word = WORDS.get(report.verdict, "ERR")
    return report.result_boot_id, word, score, ratio, p, f"{report.quality:04X}", report.reason


def _share(number: int, scale: float) -> float:
    return math.nan if number == 0xFFFF else number / scale
