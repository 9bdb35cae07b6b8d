"""A page that is one person's: it opens with the token in the address that the terminal shows, and not without."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from csflow.runtime.page.access import Access, Address, Role
from csflow.runtime.page.web import WebServer, static_file

__all__ = ["OwnPage"]

KINDS = {"css": "text/css", "js": "text/javascript"}


class OwnPage:
    """Serves static/NAME.html, .css and .js, and routes besides, until it is closed."""

    def __init__(self, address: Address, name: str, routes: Sequence[Route]) -> None:
        """Listen; raises SinkError for an address that cannot be had."""
        token = secrets.token_urlsafe(18)
        self._name, self._access = name, Access(address, token)
        assets = [Route(f"/{name}.{suffix}", self._asset) for suffix in KINDS]
        self._web = WebServer(address, self._access, [Route("/", self._page), *assets, *routes])
        self.url = f"{self._web.url}?token={token}"
        """With the token."""

    def close(self) -> None:
        """End all connections and the thread."""
        self._web.close()

    async def _page(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if self._access.role_of(token) is Role.NOBODY:
            return Response(self._file("html"), media_type="text/html")
        # Out of the address bar and the history; the cookie takes over.
        response = RedirectResponse("/", 303)
        response.set_cookie(self._access.cookie, token, httponly=True, samesite="strict")
        return response

    async def _asset(self, request: Request) -> Response:
        suffix = request.url.path.rpartition(".")[2]
        return Response(self._file(suffix), media_type=KINDS[suffix])

    def _file(self, suffix: str) -> bytes:
        return static_file("csflow.runtime.drawing", f"{self._name}.{suffix}")
