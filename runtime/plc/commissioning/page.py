"""The commissioner's page: `csflow plc --serve`. It shows and commands nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from csflow.runtime.page.access import Access, Address, Role
from csflow.runtime.page.web import WebServer, static_file
from csflow.runtime.schema import json_line

__all__ = ["StationPage"]

PERIOD_S = 0.25
ASSETS = {"station.css": "text/css", "station.js": "text/javascript"}


class StationPage:
    """Serves what `view` gives, four times a second, to whoever may see it."""

    def __init__(self, address: str, token: str | None, view: Callable[[], dict[str, Any]]) -> None:
        """Listen on HOST:PORT.

        Raises ConfigError for an address that others can reach without a token, SinkError for one that cannot be had.
        """
        where = Address.parse(address)
        self._access, self._view, self._closing = Access(where, token), view, False
        self._made, self._made_s = "", 0.0
        routes = [Route("/", self._page), Route("/events", self._events), *(Route(f"/{n}", _asset) for n in ASSETS)]
        self._web = WebServer(where, self._access, routes)
        self.url = self._web.url

    async def _page(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if self._access.role_of(token) is Role.NOBODY:
            return Response(_file("station.html"), media_type="text/html")
        response = RedirectResponse("/", 303)
        response.set_cookie(self._access.cookie, token, max_age=31_536_000, httponly=True, samesite="strict")
        return response

    async def _events(self, _request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        while not self._closing:
            yield f"data: {self._event()}\n\n"
            await asyncio.sleep(PERIOD_S)

    def _event(self) -> str:
        """What is shown now; made once for all who watch, as it is made in the station's process."""
        now_s = time.monotonic()
        if not self._made or now_s - self._made_s >= PERIOD_S:
            self._made, self._made_s = json_line(self._view()), now_s
        return self._made

    def close(self) -> None:
        """Serve no more. May be called twice."""
        self._closing = True
        self._web.close()


async def _asset(request: Request) -> Response:
    name = request.url.path.lstrip("/")
    return Response(_file(name), media_type=ASSETS[name])


def _file(name: str) -> bytes:
    return static_file("csflow.runtime.plc.commissioning", name)
