"""JPEGs for the page, made in a thread of their own: of the newest frame only while someone watches."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.page.state import REJECTS, LiveState, Seen, score_ratio
from csflow.runtime.picture.overlay import full_scale, overlay, result_sheet, shrunk
from csflow.runtime.types import Frame, Result

__all__ = ["Pictures", "Reject"]

FRAMES_PER_S = 5.0
FRAMES_KEPT = 10
FRAME_PX = 960
SHEET_PX = 640
THUMBNAIL_PX = 240
WATCHED_S = 3.0
QUALITY = 80

log = logging.getLogger("csflow.page")


@dataclass(frozen=True)
class Reject:
    """A result that was not OK, as the page shows it."""

    seen: Seen
    """Without its picture, unless it may be labelled."""
    sheet: bytes
    """JPEG with picture, heat map, verdict and score; empty where no picture was delivered."""
    thumbnail: bytes

    def to_mapping(self) -> dict[str, Any]:
        """What the page needs to list it."""
        result = self.seen.result
        return {
            "number": self.seen.number,
            "verdict": result.verdict.name,
            "ratio": score_ratio(result),
            "source": result.source,
            "reason": result.reason,
            "unix_s": self.seen.unix_s,
            "picture": bool(self.sheet),
            "verified": result.verified,
        }


class Pictures:
    """Watches a `LiveState`; at most five pictures a second are made, whatever the camera gives."""

    def __init__(self, state: LiveState, keep: bool = False) -> None:
        """Begin to draw.

        Args:
            keep: hold the camera's own pictures of the rejects and of the newest frames, for `seen`.
        """
        self._state = state
        self._keep = keep
        self._drawn: deque[Seen] = deque(maxlen=FRAMES_KEPT if keep else 0)
        self._rejects: deque[Reject] = deque(maxlen=REJECTS)
        self._shown: Seen | None = None
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=FRAMES_KEPT)
        self._watched_s = -WATCHED_S
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="csflow-page-pictures", daemon=True)
        self._thread.start()

    def watch(self) -> Seen | None:
        """Ask for pictures for the next three seconds; the result that was made into one last."""
        with self._lock:
            self._watched_s = time.monotonic()
            return self._shown

    def frame(self, number: int) -> bytes:
        """JPEG of a result that `watch` gave lately, with its heat map; empty where it has no picture."""
        with self._lock:
            return dict(self._frames).get(number, b"")

    def seen(self, number: int) -> Seen | None:
        """A result with the camera's own picture, of those that the page shows or showed lately."""
        with self._lock:
            at_hand = [*self._drawn, *(reject.seen for reject in self._rejects)]
        return next((seen for seen in at_hand if seen.number == number), None)

    def rejects(self) -> list[Reject]:
        """The last results that were not OK, newest first."""
        with self._lock:
            return list(reversed(self._rejects))

    def close(self) -> None:
        """Make no more pictures."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.wait(1.0 / FRAMES_PER_S):
            self.turn()

    def turn(self) -> None:
        """Draw what there is to draw."""
        for seen in self._state.take_rejects():
            kept = seen if self._keep else replace(seen, frame=None)
            reject = Reject(kept, _drawn(self._sheet, seen), _drawn(self._thumbnail, seen))
            with self._lock:
                self._rejects.append(reject)
        with self._lock:
            watched = time.monotonic() - self._watched_s < WATCHED_S
        newest = self._state.newest()
        if watched and newest is not None and (self._shown is None or newest.number != self._shown.number):
            jpeg = _drawn(self._live, newest)
            with self._lock:
                self._shown = newest
                self._frames.append((newest.number, jpeg))
                self._drawn.append(newest)

    def _live(self, frame: Frame, result: Result) -> NDArray[np.uint8]:
        return self._overlaid(frame, result, FRAME_PX)

    def _sheet(self, frame: Frame, result: Result) -> NDArray[np.uint8]:
        image, roi = shrunk(frame.image, self._state.info.roi, SHEET_PX)
        return result_sheet(image, result, roi)

    def _thumbnail(self, frame: Frame, result: Result) -> NDArray[np.uint8]:
        return self._overlaid(frame, result, THUMBNAIL_PX)

    def _overlaid(self, frame: Frame, result: Result, longest_px: int) -> NDArray[np.uint8]:
        image, roi = shrunk(frame.image, self._state.info.roi, longest_px)
        if not result.anomaly_map.size:
            return image
        return overlay(image, result.anomaly_map, full_scale(result.anomaly_map, result.threshold), roi)


def _drawn(draw: Callable[[Frame, Result], NDArray[np.uint8]], seen: Seen) -> bytes:
    """JPEG of what `draw` gives; empty where there is no picture, or none that can be drawn."""
    if seen.frame is None:
        return b""
    buffer = io.BytesIO()
    try:
        Image.fromarray(draw(seen.frame, seen.result)).save(buffer, "JPEG", quality=QUALITY)
    except Exception as error:  # noqa: BLE001 - the page must outlive an odd picture, whatever the decoder made of it
        log.warning("the page cannot draw frame %d: %s", seen.result.frame_index, error)
        return b""
    return buffer.getvalue()
