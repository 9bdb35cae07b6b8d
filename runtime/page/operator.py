"""What the page's operator may do: begin a shift, open a part, and say what it is.

Refused to everybody else before a byte is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from csflow.runtime import schema
from csflow.runtime.errors import CSFlowError, SinkError
from csflow.runtime.page.access import ROLE, Role
from csflow.runtime.page.labelling import Labelling, Word
from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.state import LiveState

__all__ = ["OperatorRoutes", "shift_route"]

MOST_BYTES = 16 << 10
POLL_S = 0.1
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def shift_route(state: LiveState) -> Route:
    """POST /shift: count from now."""

    async def begin(_request: Request) -> Response:
        state.reset_shift()
        return JSONResponse({})

    return Route("/shift", _operators(begin), methods=["POST"])


class OperatorRoutes:
    """POST /open/<number> and /label/<number>."""

    def __init__(self, labelling: Labelling, pictures: Pictures, run: str, closing: Callable[[], bool]) -> None:
        self._labelling = labelling
        self._pictures = pictures
        self._run = run
        self._closing = closing

    def routes(self) -> list[Route]:
        """For the page's application."""
        return [
            Route("/open/{number:int}", _operators(self._open), methods=["POST"]),
            Route("/label/{number:int}", _operators(self._label), methods=["POST"]),
        ]

    async def _open(self, request: Request) -> Response:
        seen = self._pictures.seen(request.path_params["number"])
        if seen is None or seen.frame is None:
            return _refused(410, "the picture of this part is gone: open a newer one")
        self._labelling.open(seen)
        return JSONResponse({})

    async def _label(self, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _refused(413, f"at most {MOST_BYTES} bytes")
        try:
            word = schema.from_mapping(Word, schema.parse_json(body))
        except schema.SchemaError as error:
            return _refused(400, str(error))
        seen = self._labelling.opened(request.path_params["number"])
        if word.run != self._run or seen is None:
            return _refused(410, "the picture of this part is gone: open it again")
        try:
            made = await _aside(lambda: self._labelling.add(seen, word), self._closing)
        except SinkError as error:
            return _refused(507, str(error))
        except CSFlowError as error:
            return _refused(400, str(error))
        return JSONResponse({"picture": made.picture, "truth": made.truth, "overruled": made.overruled})


async def _aside(work: Callable[[], T], closing: Callable[[], bool]) -> T:
    """What `work` gives, from a daemon thread: a folder that hangs holds up neither the page nor the end of the run.

    Raises SinkError where `closing` says that the page ends first.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def deliver(give: Callable[[], None]) -> None:
        # The asker may have gone, and the page with him.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if answer.done() else give())

    def run() -> None:
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
            deliver(lambda: answer.set_exception(failure))
        else:
            deliver(lambda: answer.set_result(done))

    threading.Thread(target=run, name="csflow-label", daemon=True).start()
    while not answer.done():
        await asyncio.wait({answer}, timeout=POLL_S)
        if closing() and not answer.done():
            raise SinkError("the run ended before the folder had taken the word: look there whether it did")
    return answer.result()


def _operators(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if request.scope[ROLE] is not Role.OPERATOR:
            return _refused(403, "this needs the operator's token")
        # What other sites can make a browser send without asking here first has another type.
        if request.headers.get("content-type") != "application/json":
            return _refused(415, "expected application/json")
        return await handler(request)

    return guarded


async def _body(request: Request) -> bytes | None:
    """The body; None where it is larger than a word may be."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return body


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(why, status)
