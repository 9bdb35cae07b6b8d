"""The page's server: gives the picture, takes what was drawn, and is done when that is saved."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from csflow.runtime import schema
from csflow.runtime.drawing.own_page import OwnPage
from csflow.runtime.drawing.polygon import polygon_boxes
from csflow.runtime.errors import CSFlowError
from csflow.runtime.page.access import Address
from csflow.runtime.picture.region import Box, Region, region_picture

__all__ = ["Drawing", "DrawingServer"]

MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Drawing:
    """What a page sends: all in pixels of the picture."""

    roi: Box | None
    polygons: tuple[tuple[tuple[int, int], ...], ...]
    """Corners (x, y) of each ignored area."""


class DrawingServer:
    """Serves one picture until it is closed; whoever opens the page needs the token in its address."""

    def __init__(
        self, address: Address, image: NDArray[np.uint8], region: Region, save: Callable[[Region], str]
    ) -> None:
        """Listen.

        Args:
            image: (H, W, 3) uint8 RGB.
            region: what is drawn already.
            save: keeps what was drawn; returns what to do next, in words.

        Raises SinkError for an address that cannot be had.
        """
        self._image, self._start, self._save = image, region, save
        self.drawn: Region | None = None
        """What was saved last."""
        self.done = threading.Event()
        """Set when something was saved."""
        routes = [
            Route("/picture.png", self._picture),
            Route("/start", self._drawn_already),
            Route("/save", self._keep, methods=["POST"]),
        ]
        self._page = OwnPage(address, "draw", routes)
        self.url = self._page.url

    def close(self) -> None:
        """End all connections and the thread."""
        self._page.close()

    def _picture(self, _request: Request) -> Response:
        buffer = io.BytesIO()
        Image.fromarray(self._image).save(buffer, "PNG", compress_level=1)
        return Response(buffer.getvalue(), media_type="image/png")

    async def _drawn_already(self, _request: Request) -> Response:
        height, width = self._image.shape[:2]
        body = {"width": width, "height": height, "roi": self._start.roi, "areas": self._start.ignore}
        return Response(schema.json_line(body), media_type="application/json")

    async def _keep(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return PlainTextResponse("too many corners: draw fewer areas", 413)
        try:
            region = self._region(schema.from_mapping(Drawing, schema.parse_json(body)))
            words = self._save(region)
        except (CSFlowError, ValueError, OSError) as error:
            return PlainTextResponse(str(error), 400)
        self.drawn = region
        self.done.set()
        return PlainTextResponse(words)

    def _region(self, drawing: Drawing) -> Region:
        height, width = self._image.shape[:2]
        boxes = polygon_boxes(drawing.polygons, (width, height))
        region = Region(drawing.roi, boxes, self._start.window)
        region_picture(self._image, region)
        if not region.looked_at(np.ones((height, width), np.bool_)).any():
            raise ValueError("all of the region is ignored: leave something to look at")
        return region
