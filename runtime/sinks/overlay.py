"""Pictures with their heat maps, for people to look at, in a folder that may have a budget."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from PIL import Image

from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import SinkError
from csflow.runtime.picture.origin import RESULT, raw_png
from csflow.runtime.picture.overlay import result_sheet, shrunk
from csflow.runtime.picture.region import WHOLE_PICTURE, Region
from csflow.runtime.sink import sink_error
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["OverlaySink", "SavedName"]

JPEG_QUALITY = 92
LONGEST_PX = 1024
OWN_NAME = re.compile(r"\d{8}T\d{6}\.\d{9}Z-\d{8,}-[A-Z]+-[A-Za-z0-9-]+\.(?:jpg|png)")
LEFTOVER = re.compile(rf"\.{OWN_NAME.pattern}\.[A-Za-z0-9_]+\.tmp")
LEFTOVER_S = 60.0
OPTIONS = re.compile(r"^([a-z][a-z0-9+.-]*:[^?#]*)\?[^#]*")
"""Those of a camera's address, up to the frame's own name: the same in every name."""


@dataclass(frozen=True)
class SavedName:
    """What the name of a saved picture tells. Names sort by time."""

    text: str
    unix_ns: int
    """Wall clock at capture, nanoseconds since 1970 UTC."""
    verdict: str
    source: str
    """Where the frame came from, without what is no letter or digit."""

    @classmethod
    def parse(cls, text: str) -> SavedName | None:
        """Read a name; None for one that `OverlaySink` does not give."""
        if not OWN_NAME.fullmatch(text):
            return None
        stamp, index_and_rest = text[:26], text[27:].rpartition(".")[0]
        _, verdict, source = index_and_rest.split("-", 2)
        try:
            seconds = datetime.strptime(stamp[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            return None
        return cls(text, int(seconds) * 10**9 + int(stamp[16:25]), verdict, source)


class OverlaySink:
    """Writes a JPEG for every result that has a picture, and its raw picture if wanted; each is whole or not there.

    Which results those are is `SelectingSink`'s to say. With a budget the oldest pictures are deleted, those of earlier
    runs too, but never a file with a name that is not of this sink's making.
    """

    def __init__(
        self,
        folder: Path | str,
        region: Region = WHOLE_PICTURE,
        budget_bytes: int | None = None,
        raw: Callable[[str], str] | None = None,
    ) -> None:
        """Make `folder`.

        Args:
            region: the bundle's: the anomaly map covers its region of interest.
            budget_bytes: what the pictures may take together; None for no limit.
            raw: keeps the camera's own picture beside each, as a PNG without loss that tells its decoder and its
                result; says what decodes the pictures of a camera of this name. None keeps none.

        Raises SinkError when the folder cannot be made or listed.
        """
        self._folder = Path(folder)
        self._region = region
        self._raw = raw
        self._closed = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._folder)
            self._budget = None if budget_bytes is None else _Budget(self._folder, budget_bytes)
        except OSError as error:
            raise sink_error(error, folder) from None

    def write(self, result: Result, frame: Frame | None) -> None:
        """Save picture, heat map, verdict and score, unless no picture was delivered."""
        if self._closed:
            raise SinkError(f"{self._folder} is closed")
        if frame is None:
            return
        path = self._free_path(result)
        files = {path: _jpeg(result, frame, self._region)}
        if self._raw is not None:
            files[path.with_suffix(".png")] = _kept(result, frame, self._raw(result.camera))
        if self._budget is not None:
            self._budget.check(sum(map(len, files.values())))
        for file, data in files.items():
            self._write(file, data)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            if self._budget is not None:
                self._budget.make_room(len(data))
            write_atomic(path, data)
        except OSError as error:
            raise sink_error(error, path) from None
        finally:
            # Also where only the folder could not be synced: the picture takes its room.
            if self._budget is not None and os.path.exists(path):
                self._budget.add(path, len(data))

    def _free_path(self, result: Result) -> Path:
        """Named by the moment of capture; a nanosecond later where another picture has that name."""
        unix_ns = result.captured_unix_ns
        while (path := self._folder / _file_name(result, unix_ns)).exists() or path.with_suffix(".png").exists():
            unix_ns += 1
        return path

    def close(self) -> None:
        """Take no more results."""
        self._closed = True

    def __enter__(self) -> OverlaySink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _remove_leftovers(folder: Path) -> None:
    """Delete what a run that was killed in the middle of a picture left; young ones may be another run's work."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # it has its name now
            if LEFTOVER.fullmatch(path.name) and time.time() - path.stat().st_mtime > LEFTOVER_S:
                path.unlink()


class _Budget:
    """The pictures in a folder, oldest first, and what they take."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._limit = limit
        self._files: deque[tuple[Path, int]] = deque()
        for path in sorted(p for p in folder.iterdir() if OWN_NAME.fullmatch(p.name) and p.is_file()):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile, by a person or another run
                self._files.append((path, path.stat().st_size))
        self._total = sum(size for _, size in self._files)

    def check(self, size: int) -> None:
        if size > self._limit:
            raise SinkError(f"one picture takes {size} bytes, more than the whole budget of {self._limit}: raise it")

    def make_room(self, size: int) -> None:
        while self._files and self._total + size > self._limit:
            path, freed = self._files[0]
            path.unlink(missing_ok=True)
            self._files.popleft()
            self._total -= freed

    def add(self, path: Path, size: int) -> None:
        self._files.append((path, size))
        self._total += size


def _jpeg(result: Result, frame: Frame, region: Region) -> bytes:
    buffer = io.BytesIO()
    image, region = shrunk(frame.image, region, LONGEST_PX)
    Image.fromarray(result_sheet(image, result, region)).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _kept(result: Result, frame: Frame, decoder: str) -> bytes:
    # All levels of a grey camera of more than 8 bits; colours as the model saw them, which PNG can hold.
    image = frame.image if frame.levels is None or frame.levels.ndim == 3 else frame.levels
    return raw_png(image, decoder, RESULT, result_record(result))


def _file_name(result: Result, unix_ns: int) -> str:
    # Sorts by time.
    stamp = datetime.fromtimestamp(unix_ns // 10**9, timezone.utc).strftime("%Y%m%dT%H%M%S")
    shown = OPTIONS.sub(r"\1", result.source)
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(shown).name).strip("-")[-48:]
    return f"{stamp}.{unix_ns % 10**9:09d}Z-{result.frame_index:08d}-{result.verdict.name}-{name or 'frame'}.jpg"
