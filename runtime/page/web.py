"""A small web server in a thread of its own: whom `Access` refuses is refused; every answer has the same headers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from csflow.runtime.errors import SinkError
from csflow.runtime.page.access import ROLE, Access, Address, Role

__all__ = ["WebServer", "static_file"]

MOST_CONNECTIONS = 64
SILENT_S = 10.0
"""Longest time in which a connection may not have asked, or not to the end of its question."""
HEADERS = {
    b"content-security-policy": b"default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


class WebServer:
    """Serves routes until it is closed."""

    def __init__(self, address: Address, access: Access, routes: Sequence[Route]) -> None:
        """Listen; raises SinkError for an address that cannot be had."""
        self._socket = _listen(address)
        self.url = address.url(self._socket.getsockname()[1])
        config = uvicorn.Config(
            _Guard(Starlette(routes=routes), access),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._serve, name="csflow-page", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.run([self._socket])
        finally:
            self._socket.close()

    def close(self) -> None:
        """End all connections and the thread. May be called twice."""
        self._server.should_exit = True
        self._thread.join(3.0)


class _Server(uvicorn.Server):
    """Drops who is connected and asks nothing, as a telephone does that has gone: it would take a place for ever."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent: dict[Any, float] = {}

    async def on_tick(self, counter: int) -> bool:
        now_s = time.monotonic()
        silent = [one for one in self.server_state.connections if _asks_nothing(one)]
        self._silent = {one: self._silent.get(one, now_s) for one in silent}
        for one, since_s in self._silent.items():
            if now_s - since_s > SILENT_S and one.transport is not None:
                one.transport.abort()
        return await super().on_tick(counter)


def _asks_nothing(connection: Any) -> bool:
    """Whether no question of it is being answered."""
    cycle = getattr(connection, "cycle", connection)
    return cycle is None or getattr(cycle, "response_complete", False)


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
            return Response(static_file("csflow.runtime.page", "token.html"), 401, media_type="text/html")
        return Response("csflow serves this page to http://127.0.0.1 and http://localhost only\n", 421)


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS.items()]
        await send(message)

    return send_with


def static_file(package: str, name: str) -> bytes:
    """A file in the folder `static` of a package."""
    return (resources.files(package) / "static" / name).read_bytes()


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
