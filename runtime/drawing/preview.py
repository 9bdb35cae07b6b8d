"""What a camera sees while pictures are captured: the newest frame, the count, and a button that takes one."""

from __future__ import annotations

import io
import threading

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from csflow.runtime import schema
from csflow.runtime.drawing.own_page import OwnPage
from csflow.runtime.page.access import Address
from csflow.runtime.picture.overlay import shrunk
from csflow.runtime.picture.region import WHOLE_PICTURE
from csflow.runtime.types import Frame

__all__ = ["PreviewServer"]

LONGEST_PX = 960


class PreviewServer:
    """Serves the newest frame until it is closed; whoever opens the page needs the token in its address."""

    def __init__(self, address: Address, place: str, button: bool) -> None:
        """Listen.

        Args:
            place: where pictures go, in words.
            button: whether the page has one that takes pictures.

        Raises SinkError for an address that cannot be had.
        """
        self._place, self._button = place, button
        self._frame: Frame | None = None
        self._pictures = 0
        self._lock = threading.Lock()
        self._wanted = 0
        routes = [
            Route("/newest.jpg", self._newest),
            Route("/count", self._count),
            Route("/take", self._take, methods=["POST"]),
        ]
        self._page = OwnPage(address, "preview", routes)
        self.url = self._page.url

    def show(self, frame: Frame) -> bool:
        """Have this frame as the newest; whether somebody has asked for a picture since."""
        with self._lock:
            self._frame = frame
            wanted = self._wanted > 0
            self._wanted -= wanted
            return wanted

    def count(self, pictures: int) -> None:
        """So many are taken."""
        with self._lock:
            self._pictures = pictures

    def close(self) -> None:
        """End all connections and the thread."""
        self._page.close()

    def _newest(self, _request: Request) -> Response:
        with self._lock:
            frame = self._frame
        if frame is None:
            return Response(status_code=404)
        small, _ = shrunk(frame.image, WHOLE_PICTURE, LONGEST_PX)
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "JPEG", quality=80)
        return Response(buffer.getvalue(), media_type="image/jpeg")

    async def _count(self, _request: Request) -> Response:
        with self._lock:
            body = {"pictures": self._pictures, "place": self._place, "button": self._button}
        return Response(schema.json_line(body), media_type="application/json")

    async def _take(self, _request: Request) -> Response:
        if not self._button:
            return Response("pictures are taken as they come\n", 409)
        with self._lock:
            self._wanted += 1
        return Response(status_code=204)
