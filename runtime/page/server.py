"""The web server of a run, in threads of its own: page, events, pictures, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from csflow.runtime.errors import SinkError
from csflow.runtime.page.access import ROLE, Access, Address, Role
from csflow.runtime.page.labelling import Labelling
from csflow.runtime.page.metrics import Metrics
from csflow.runtime.page.operator import OperatorRoutes
from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.state import LiveState
from csflow.runtime.schema import json_line

__all__ = ["PageServer"]

POLL_S = 0.1
EVENT_S = 1.0
MOST_CONNECTIONS = 64
HEADERS = {
    b"content-security-policy": b"default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "label.js": "text/javascript"}


class PageServer:
    """Serves a `LiveState` until it is closed."""

    def __init__(self, address: Address, access: Access, state: LiveState, labelling: Labelling | None) -> None:
        """Listen; raises SinkError for an address that cannot be had."""
        self._access = access
        self._state = state
        self._labelling = labelling
        self._socket = _listen(address)
        self.url = address.url(self._socket.getsockname()[1])
        self._pictures = Pictures(state, keep=labelling is not None)
        self._metrics = Metrics(state)
        self._closing = False
        app = _Guard(Starlette(routes=self._routes()), self._access)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="csflow-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all connections and the threads. May be called twice."""
        self._closing = True
        self._server.should_exit = True
        self._thread.join(3.0)
        self._pictures.close()

    def _serve(self) -> None:
        try:
            self._server.run([self._socket])
        finally:
            self._socket.close()

    def _routes(self) -> list[Route]:
        labelling = self._labelling
        return [
            *(OperatorRoutes(labelling, self._pictures, self._state.run).routes() if labelling is not None else ()),
            Route("/", self._page),
            Route("/events", self._events),
            Route("/frame/{number:int}.jpg", self._frame),
            Route("/reject/{number:int}.jpg", self._reject),
            Route("/thumbnail/{number:int}.jpg", self._reject),
            Route("/metrics", self._metrics_text),
            *(Route(f"/{name}", _asset) for name in ASSETS),
        ]

    async def _page(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if self._access.role_of(token) is Role.NOBODY:
            return Response(_file("page.html"), media_type="text/html")
        # Out of the address bar and the history; the cookie takes over.
        response = RedirectResponse("/", 303)
        response.set_cookie(self._access.cookie, token, max_age=31_536_000, httponly=True, samesite="strict")
        return response

    async def _frame(self, request: Request) -> Response:
        return _picture(self._pictures.frame(request.path_params["number"]))

    async def _reject(self, request: Request) -> Response:
        number = request.path_params["number"]
        for reject in self._pictures.rejects():
            if reject.seen.number == number:
                return _picture(reject.sheet if request.url.path.startswith("/reject") else reject.thumbnail)
        return _picture(b"")

    async def _metrics_text(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request.scope[ROLE]), media_type="text/event-stream")

    async def _stream(self, role: Role) -> AsyncIterator[str]:
        """An event when another picture is shown, and at least each second: silence means that csflow is gone."""
        since, shown_number, next_s = 0, -1, 0.0
        yield "retry: 1000\n\n"
        while not self._closing:
            shown = self._pictures.watch()
            number = shown.number if shown else 0
            if number != shown_number or time.monotonic() >= next_s:
                shown_number, next_s = number, time.monotonic() + EVENT_S
                event = self._state.snapshot(shown, since)
                event["rejects"] = [reject.to_mapping() for reject in self._pictures.rejects()]
                if self._labelling is not None:
                    event["labels"] = {"operator": role is Role.OPERATOR, **self._labelling.facts()}
                since = event["scores"][-1][0] if event["scores"] else since
                yield f"data: {json_line(event)}\n\n"
            await asyncio.sleep(POLL_S)


class _Guard:
    """Refuses whoever `Access` refuses, and adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope[ROLE] = self._access.role(headers, scope["query_string"].decode("latin-1"))
        app = self._refusal() if scope[ROLE] is Role.NOBODY else self._app
        await app(scope, receive, _with_headers(send))

    def _refusal(self) -> Response:
        if self._access.token_needed:
            return Response(_file("token.html"), 401, media_type="text/html")
        return Response("csflow serves this page to http://127.0.0.1 and http://localhost only\n", 421)


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS.items()]
        await send(message)

    return send_with


async def _asset(request: Request) -> Response:
    name = request.url.path.lstrip("/")
    return Response(_file(name), media_type=ASSETS[name])


def _picture(jpeg: bytes) -> Response:
    return Response(jpeg, media_type="image/jpeg") if jpeg else Response(status_code=404)


def _file(name: str) -> bytes:
    return (resources.files("csflow.runtime.page") / "static" / name).read_bytes()


def _listen(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(MOST_CONNECTIONS)
            stack.pop_all()
            return listener
    except OSError as error:
        raise SinkError(
            f"cannot serve on {address.host}:{address.port} ({error.strerror or error}): choose another port or address"
        ) from None
