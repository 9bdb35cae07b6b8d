"""JPEGs for the page, made in a thread of their own: of the newest frames only while someone watches."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.page.facts import Seen
from csflow.runtime.page.state import REJECTS, LiveState
from csflow.runtime.picture.overlay import full_scale, overlay, shrunk
from csflow.runtime.picture.region import WHOLE_PICTURE, Region
from csflow.runtime.types import Frame, Result

__all__ = ["Pictures", "Reject"]

TURNS_PER_S = 5.0
FRAMES_KEPT = 10
FRAME_PX = 960
TILE_PX = 640
"""Of the newest frames where there are several cameras."""
PART_PX = 800
THUMBNAIL_PX = 240
LISTED = 60
"""Parts that were not OK, of which pictures are kept: drawn ones only."""
WATCHED_S = 3.0
QUALITY = 80

log = logging.getLogger("csflow.page")


@dataclass(frozen=True)
class Reject:
    """A result that was not OK, as the page shows it."""

    seen: Seen
    """Without its picture, unless it may be labelled."""
    jpegs: Mapping[str, bytes]
    """raw, overlay (with the heat map) and thumbnail; empty where no picture was delivered."""

    def to_mapping(self) -> dict[str, Any]:
        """What the page needs to list it."""
        return {**self.seen.to_mapping(), "picture": bool(self.jpegs)}


@dataclass(frozen=True)
class _Live:
    """The picture of a newest frame: with its heat map as JPEG, and without as it was shrunk."""

    seen: Seen
    overlay: bytes
    small: NDArray[np.uint8] | None


class Pictures:
    """Watches a `LiveState`. Of the newest frames five pictures a second are made, whatever the cameras give."""

    def __init__(self, state: LiveState, keep: bool = False) -> None:
        """Begin to draw.

        Args:
            keep: hold the camera's own pictures of the rejects and of the newest frames, for `seen`.
        """
        self._state = state
        self._keep = keep
        self._live_px = FRAME_PX if len(state.info.cameras) < 2 else TILE_PX
        self._rejects: deque[Reject] = deque(maxlen=LISTED)
        self._shown: dict[str, Seen] = {}
        self._live: deque[_Live] = deque(maxlen=FRAMES_KEPT)
        self._watched_s = -WATCHED_S
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="csflow-page-pictures", daemon=True)
        self._thread.start()

    def watch(self) -> list[Seen]:
        """Ask for pictures for the next three seconds; the results that were made into one last, one a camera."""
        with self._lock:
            self._watched_s = time.monotonic()
            return list(self._shown.values())

    def picture(self, number: int, kind: str) -> bytes:
        """JPEG of a result that `watch` or `rejects` gave lately; empty where it has none.

        Args:
            kind: raw, overlay (with the heat map) or thumbnail.
        """
        with self._lock:
            reject = next((one for one in self._rejects if one.seen.number == number), None)
            live = next((one for one in self._live if one.seen.number == number), None)
        if reject is not None:
            return reject.jpegs.get(kind, b"")
        if live is None:
            return b""
        return live.overlay if kind != "raw" or live.small is None else _jpeg(live.small)

    def seen(self, number: int) -> Seen | None:
        """A result with the camera's own picture, of those that the page shows or showed lately."""
        with self._lock:
            at_hand = [*(live.seen for live in self._live), *(reject.seen for reject in self._rejects)]
        return next((seen for seen in at_hand if seen.number == number), None)

    def rejects(self, since: int = 0) -> list[Reject]:
        """The last results that were not OK after number `since`, newest first."""
        with self._lock:
            return [reject for reject in reversed(self._rejects) if reject.seen.number > since]

    def close(self) -> None:
        """Make no more pictures."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.wait(1.0 / TURNS_PER_S):
            self.turn()

    def turn(self) -> None:
        """Draw what was not OK; and, while someone watches, the newest frame that has waited longest."""
        for seen in self._state.take_rejects():
            self._list(self._reject(seen))
        with self._lock:
            watched = time.monotonic() - self._watched_s < WATCHED_S
        if watched and (newest := self._undrawn()):
            self._show(min(newest, key=lambda seen: self._number_shown(seen.result.camera)))

    def _undrawn(self) -> list[Seen]:
        newest = self._state.newest_of_each()
        return [seen for seen in newest if seen.number != self._number_shown(seen.result.camera)]

    def _number_shown(self, camera: str) -> int:
        return self._shown[camera].number if camera in self._shown else 0

    def _list(self, reject: Reject) -> None:
        with self._lock:
            self._rejects.append(reject)
            if len(self._rejects) > REJECTS:
                # Camera pictures are large: only those of the last dozen stay at hand.
                old = self._rejects[-REJECTS - 1]
                self._rejects[-REJECTS - 1] = replace(old, seen=replace(old.seen, frame=None))

    def _reject(self, seen: Seen) -> Reject:
        kept = seen if self._keep else replace(seen, frame=None)
        drawn = _drawn(seen, self._state.info.region, PART_PX)
        if drawn is None:
            return Reject(kept, {})
        small, heated = drawn
        thumbnail, _ = shrunk(heated, WHOLE_PICTURE, THUMBNAIL_PX)
        return Reject(kept, {"raw": _jpeg(small), "overlay": _jpeg(heated), "thumbnail": _jpeg(thumbnail)})

    def _show(self, newest: Seen) -> None:
        drawn = _drawn(newest, self._state.info.region, self._live_px)
        jpeg, small = (b"", None) if drawn is None else (_jpeg(drawn[1]), drawn[0])
        with self._lock:
            self._shown[newest.result.camera] = newest
            self._live.append(_Live(newest if self._keep else replace(newest, frame=None), jpeg, small))


def _drawn(seen: Seen, region: Region, longest_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The picture, shrunk, and the same with its heat map; None where there is none, or none that can be drawn."""
    if seen.frame is None:
        return None
    try:
        return _heated(seen.frame, seen.result, region, longest_px)
    except Exception as error:  # noqa: BLE001 - the page must outlive an odd picture, whatever the decoder made of it
        log.warning("the page cannot draw frame %d: %s", seen.result.frame_index, error)
        return None


def _heated(
    frame: Frame, result: Result, region: Region, longest_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image, region = shrunk(frame.image, region, longest_px)
    _jpeg(image[:1, :1])  # raises for what is no picture
    if not result.anomaly_map.size:
        return image, image
    return image, overlay(image, result.anomaly_map, full_scale(result.anomaly_map, result.threshold), region)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
