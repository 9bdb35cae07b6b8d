"""The web server of a run, in threads of its own: page, events, pictures, metrics."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from csflow.runtime.page.access import ROLE, Access, Address, Role
from csflow.runtime.page.also import OtherRuns
from csflow.runtime.page.facts import Beside, Seen
from csflow.runtime.page.files.saved import SavedPictures
from csflow.runtime.page.files.words import Words
from csflow.runtime.page.labelling import Labelling
from csflow.runtime.page.metrics import Metrics
from csflow.runtime.page.operator import OperatorRoutes, shift_route
from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.state import LiveState
from csflow.runtime.page.web import WebServer, static_file
from csflow.runtime.schema import json_line

__all__ = ["PageServer"]

POLL_S = 0.1
EVENT_S = 1.0
STYLES = ("page.css", "parts.css", "dialog.css")
SCRIPTS = (
    "main.js",
    "dom.js",
    "banner.js",
    "chart.js",
    "dialog.js",
    "health.js",
    "label.js",
    "parts.js",
    "tiles.js",
    "words.js",
    "past.js",
    "screen.js",
    "shift.js",
)
ASSETS = {**dict.fromkeys(STYLES, "text/css"), **dict.fromkeys(SCRIPTS, "text/javascript")}


class _Since(NamedTuple):
    """The last numbers that a page has."""

    score: int
    reject: int
    also: tuple[int, ...]
    """Of each other run, as `OtherRun.watch` counts."""


class PageServer:
    """Serves a `LiveState` until it is closed."""

    def __init__(
        self, address: Address, access: Access, state: LiveState, labelling: Labelling | None, beside: Beside
    ) -> None:
        """Listen; raises SinkError for an address that cannot be had, ConfigError for another run or language."""
        self._access = access
        self._state = state
        self._labelling = labelling
        self._words = Words(beside.language)
        self._saved = None if beside.saved is None else SavedPictures(beside.saved)
        self._also = OtherRuns(beside.also, beside.also_token)
        self._pictures = Pictures(state, keep=labelling is not None)
        self._metrics = Metrics(state)
        self._closing = False
        self._made: dict[tuple[object, ...], tuple[_Since, str]] = {}
        self._made_s = -POLL_S
        try:
            self._web = WebServer(address, access, self._routes())
        except BaseException:
            self._pictures.close()
            self._also.close()
            raise
        self.url = self._web.url

    def close(self) -> None:
        """End all connections and the threads. May be called twice."""
        self._closing = True
        self._web.close()
        self._pictures.close()
        self._also.close()

    def _routes(self) -> list[Route]:
        return [
            *self._operator_routes(),
            *self._saved_routes(),
            Route("/words/{name}.json", self._language),
            Route("/", self._page),
            Route("/events", self._events),
            Route("/state", self._state_once),
            Route("/part/{number:int}/{kind}.jpg", self._picture),
            Route("/also/{index:int}/part/{number:int}/{kind}.jpg", self._picture_of_another),
            Route("/metrics", self._metrics_text),
            *(Route(f"/{name}", _asset) for name in ASSETS),
        ]

    def _operator_routes(self) -> list[Route]:
        routes = [shift_route(self._state)]
        if self._labelling is not None:
            of_labels = OperatorRoutes(self._labelling, self._pictures, self._state.run, lambda: self._closing)
            routes += of_labels.routes()
        return routes

    def _saved_routes(self) -> list[Route]:
        saved = self._saved
        if saved is None:
            return []

        def listed(request: Request) -> Response:
            before = request.query_params.get("before", "")
            until_s = float(before) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", before) else math.inf
            return Response(json_line(saved.before(until_s)), media_type="application/json")

        def picture(request: Request) -> Response:
            return _jpeg(saved.picture(request.path_params["name"], "small" in request.query_params))

        return [Route("/saved", listed), Route("/saved/{name}", picture)]

    async def _language(self, request: Request) -> Response:
        name = request.path_params["name"]
        text = json_line(self._words.index()).encode() if name == "index" else self._words.of(name)
        return Response(text, media_type="application/json") if text else Response(status_code=404)

    async def _page(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if self._access.role_of(token) is Role.NOBODY:
            return Response(_file("page.html"), media_type="text/html")
        # Out of the address bar and the history; the cookie takes over.
        response = RedirectResponse("/?kiosk" if "kiosk" in request.query_params else "/", 303)
        response.set_cookie(self._access.cookie, token, max_age=31_536_000, httponly=True, samesite="strict")
        return response

    def _picture(self, request: Request) -> Response:
        return _jpeg(self._pictures.picture(request.path_params["number"], request.path_params["kind"]))

    def _picture_of_another(self, request: Request) -> Response:
        return _jpeg(self._also.picture(*(request.path_params[name] for name in ("index", "number", "kind"))))

    async def _state_once(self, request: Request) -> Response:
        """What an event says of this run alone, with the parts that were not OK after number `since`."""
        since = request.query_params.get("since", "0")
        event = self._state.snapshot(self._pictures.watch(), sys.maxsize)
        after = int(since) if re.fullmatch("[0-9]{1,18}", since) else 0
        event["rejects"] = [reject.to_mapping() for reject in self._pictures.rejects(after)]
        return Response(json_line(event), media_type="application/json")

    async def _metrics_text(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request.scope[ROLE]), media_type="text/event-stream")

    async def _stream(self, role: Role) -> AsyncIterator[str]:
        """An event when another picture is shown, and at least each second: silence means that csflow is gone."""
        since, shown_numbers, next_s = _Since(0, 0, (0,) * len(self._also)), [-1], 0.0
        yield "retry: 1000\n\n"
        while not self._closing:
            shown = self._pictures.watch()
            numbers = [seen.number for seen in shown]
            if numbers != shown_numbers or time.monotonic() >= next_s:
                shown_numbers, next_s = numbers, time.monotonic() + EVENT_S
                since, text = self._event(shown, since, role)
                yield f"data: {text}\n\n"
            await asyncio.sleep(POLL_S)

    def _event(self, shown: Sequence[Seen], since: _Since, role: Role) -> tuple[_Since, str]:
        """What has come since, and up to where; made once for all who have seen as much."""
        now_s = time.monotonic()
        if now_s - self._made_s >= POLL_S:
            self._made, self._made_s = {}, now_s
        key = (tuple(seen.number for seen in shown), since, role)
        if key not in self._made:
            event = self._state.snapshot(shown, since.score)
            rejects = self._pictures.rejects(since.reject)
            event["rejects"] = [reject.to_mapping() for reject in rejects]
            heard, event["also"] = self._also.watch(since.also)
            event["saved"] = self._saved is not None
            event["operator"] = role is Role.OPERATOR if self._access.has_operator else None
            if self._labelling is not None:
                event["labels"] = {"operator": role is Role.OPERATOR, **self._labelling.facts()}
            upto = _Since(
                event["scores"][-1][0] if event["scores"] else since.score,
                rejects[0].seen.number if rejects else since.reject,
                heard,
            )
            self._made[key] = upto, json_line(event)
        return self._made[key]


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg") if data else Response(status_code=404)


async def _asset(request: Request) -> Response:
    name = request.url.path.lstrip("/")
    return Response(_file(name), media_type=ASSETS[name])


def _file(name: str) -> bytes:
    return static_file("csflow.runtime.page", name)
