"""Pictures of what was not OK, for people to look at."""

from __future__ import annotations

import io
import re
import time
from datetime import datetime, timezone
from pathlib import Path

from PIL import Image

from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import SinkError
from csflow.runtime.overlay import result_sheet
from csflow.runtime.sink import sink_error
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["OverlaySink"]

JPEG_QUALITY = 92


class OverlaySink:
    """Writes a JPEG for every result that is not OK and has a picture; each is there whole or not at all."""

    def __init__(self, folder: Path | str, roi: tuple[int, int, int, int] | None = None) -> None:
        """Make `folder`. `roi` is the bundle's region of interest, which the anomaly map covers.

        Raises SinkError when the folder cannot be made.
        """
        self._folder = Path(folder)
        self._roi = roi
        self._closed = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sink_error(error, folder) from None

    def write(self, result: Result, frame: Frame | None) -> None:
        """Save picture, heat map, verdict and score, unless the result is OK or no picture was delivered."""
        if self._closed:
            raise SinkError("the sink is closed")
        if result.verdict is Verdict.OK or frame is None:
            return
        buffer = io.BytesIO()
        sheet = result_sheet(frame.image, result, self._roi)
        Image.fromarray(sheet).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        path = self._folder / _file_name(result)
        try:
            write_atomic(path, buffer.getvalue())
        except OSError as error:
            raise sink_error(error, path) from None

    def close(self) -> None:
        """Take no more results."""
        self._closed = True

    def __enter__(self) -> OverlaySink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _file_name(result: Result) -> str:
    # Sorts by time; nanoseconds keep names unique even when the clock was set back between two runs.
    now = time.time_ns()
    stamp = datetime.fromtimestamp(now // 10**9, timezone.utc).strftime("%Y%m%dT%H%M%S")
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(result.source).name).strip("-")[-48:]
    return f"{stamp}.{now % 10**9:09d}Z-{result.frame_index:08d}-{result.verdict.name}-{name or 'frame'}.jpg"
