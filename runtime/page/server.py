"""The web server of a run, in threads of its own: page, events, pictures, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from csflow.runtime.page.access import ROLE, Access, Address, Role
from csflow.runtime.page.labelling import Labelling
from csflow.runtime.page.metrics import Metrics
from csflow.runtime.page.operator import OperatorRoutes
from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.state import LiveState
from csflow.runtime.page.web import WebServer, static_file
from csflow.runtime.schema import json_line

__all__ = ["PageServer"]

POLL_S = 0.1
EVENT_S = 1.0
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "label.js": "text/javascript"}


class PageServer:
    """Serves a `LiveState` until it is closed."""

    def __init__(self, address: Address, access: Access, state: LiveState, labelling: Labelling | None) -> None:
        """Listen; raises SinkError for an address that cannot be had."""
        self._access = access
        self._state = state
        self._labelling = labelling
        self._pictures = Pictures(state, keep=labelling is not None)
        self._metrics = Metrics(state)
        self._closing = False
        try:
            self._web = WebServer(address, access, self._routes())
        except BaseException:
            self._pictures.close()
            raise
        self.url = self._web.url

    def close(self) -> None:
        """End all connections and the threads. May be called twice."""
        self._closing = True
        self._web.close()
        self._pictures.close()

    def _routes(self) -> list[Route]:
        return [
            *self._operator_routes(),
            Route("/", self._page),
            Route("/events", self._events),
            Route("/frame/{number:int}.jpg", self._frame),
            Route("/reject/{number:int}.jpg", self._reject),
            Route("/thumbnail/{number:int}.jpg", self._reject),
            Route("/metrics", self._metrics_text),
            *(Route(f"/{name}", _asset) for name in ASSETS),
        ]

    def _operator_routes(self) -> list[Route]:
        if self._labelling is None:
            return []
        return OperatorRoutes(self._labelling, self._pictures, self._state.run, lambda: self._closing).routes()

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


async def _asset(request: Request) -> Response:
    name = request.url.path.lstrip("/")
    return Response(_file(name), media_type=ASSETS[name])


def _picture(jpeg: bytes) -> Response:
    return Response(jpeg, media_type="image/jpeg") if jpeg else Response(status_code=404)


def _file(name: str) -> bytes:
    return static_file("csflow.runtime.page", name)
