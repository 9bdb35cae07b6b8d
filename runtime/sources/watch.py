"""A watched folder as a source: the pictures that appear in it, each once, complete, in the order of their arrival."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from csflow.runtime.errors import DataError, EndOfStream, FrameError, SourceError
from csflow.runtime.options import Option, read_options, switch_option
from csflow.runtime.picture.images import IMAGE_SUFFIXES
from csflow.runtime.sources.files import natural_key, read_part
from csflow.runtime.types import Frame

__all__ = ["WatchOptions", "WatchSource", "open_watch"]

POLL_S = 0.05
COARSE_S = 2.5
"""Some file systems stamp a folder in steps of two seconds (FAT): so long after a change it is listed anyway."""


@dataclass(frozen=True)
class WatchOptions:
    """What stands after the question mark of watch:FOLDER."""

    existing: bool = False
    """Whether what lies there at the start is taken too, before all else."""
    settle: float = 0.2
    """Seconds for which size and time of a file must not have changed before it is opened."""
    early: float = 0.0
    """Seconds by which a picture may have appeared before the trigger that it answers."""


class _Arrival:
    """A file on its way: what it looked like when, and since when it looks so."""

    def __init__(self, path: Path, seen_ns: int | None) -> None:
        self.path = path
        self.seen_ns = seen_ns
        """When it appeared, by `time.monotonic_ns`; None for one that was there before."""
        self._looks: tuple[int, int] | None = None
        self._since_s = 0.0

    def quiet_s(self) -> float:
        """Seconds without a change of size or time; 0 while it is empty. Raises OSError where it is gone."""
        status = os.stat(self.path)
        looks = (status.st_size, status.st_mtime_ns)
        if looks != self._looks or not status.st_size:
            self._looks, self._since_s = looks, time.monotonic()
        return time.monotonic() - self._since_s


class WatchSource:
    """Pictures that appear directly inside a folder, under names of their own; none overtakes another.

    A file is complete when it has not changed for a while and decodes. One that does not decode holds up those
    behind it for `patience_s`, then it is a FrameError. Hidden files and other suffixes (a part under way) are passed
    over; a file that is written again under its old name is not taken again.
    """

    live = False

    def __init__(self, name: str, folder: Path, options: WatchOptions, patience_s: float) -> None:
        """Begin to watch. Raises SourceError where the folder cannot be listed."""
        self.name = name
        self._folder = folder
        self._options = options
        self._patience_s = patience_s
        self._known: set[str] = set()
        self._waiting: deque[_Arrival] = deque()
        self._stamp = -1
        self._changed_s = 0.0
        self._away = False
        self._next = 0
        self._closed = False
        try:
            self._look(first=True)
        except OSError as error:
            raise SourceError(f"cannot watch {folder}: {error.strerror}; expected a folder") from None

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture that is complete; None when none came in time, for however long that may be.

        A file that does not decode or is gone again is a FrameError. A folder that cannot be listed any more is one
        with the fault 'lost', told once; when it is back, watching goes on.
        """
        end_s = time.monotonic() + timeout_s
        while not self._closed:
            self._listed()
            if self._waiting and (frame := self._complete(self._waiting[0])) is not None:
                return frame
            wait_s = min(POLL_S, end_s - time.monotonic())
            if wait_s <= 0:
                return None
            time.sleep(wait_s)
        raise EndOfStream

    def look(self) -> None:
        """Take note of what has appeared, for a run that does not read now; a folder that is away shows in `read`."""
        with contextlib.suppress(OSError):
            self._look()

    def leave_out(self, before_ns: int) -> int:
        """Pass over what appeared too long before a moment, by `time.monotonic_ns`; how many that were.

        What was there at first stays.
        """
        self.look()
        first_ns = before_ns - int(self._options.early * 1e9)
        kept = [one for one in self._waiting if one.seen_ns is None or one.seen_ns >= first_ns]
        gone = len(self._waiting) - len(kept)
        self._waiting = deque(kept)
        self._next += gone
        return gone

    def _listed(self) -> None:
        try:
            self._look()
            self._away = False
        except OSError as error:
            if not self._away:
                self._away = True
                reason = f"cannot list {self._folder}: {error.strerror}; trying again"
                raise FrameError(reason, self._next, self.name, "lost") from None

    def _look(self, first: bool = False) -> None:
        """Take up the names that are new. An unchanged folder is not listed, however many files it holds."""
        stamp, now_s = os.stat(self._folder).st_mtime_ns, time.monotonic()
        if stamp != self._stamp:
            self._stamp, self._changed_s = stamp, now_s
        elif now_s - self._changed_s > COARSE_S:
            return
        names = {name for name in os.listdir(self._folder) if _is_picture(name)}
        new = sorted((self._folder / name for name in names - self._known), key=natural_key)
        self._known = names
        if not first:
            self._waiting.extend(_Arrival(path, time.monotonic_ns()) for path in new)
        elif self._options.existing:
            self._waiting.extend(_Arrival(path, None) for path in new)

    def _complete(self, arrival: _Arrival) -> Frame | None:
        path = arrival.path
        try:
            quiet_s = arrival.quiet_s()
            image = read_part(path) if quiet_s >= self._options.settle else None
        except OSError:
            raise self._failed(f"{path} is gone before it could be read") from None
        except DataError as error:
            if quiet_s < self._patience_s:
                return None
            raise self._failed(str(error)) from None
        if image is None:
            return None
        self._waiting.popleft()
        index, self._next = self._next, self._next + 1
        return Frame(image, index, arrival.seen_ns or time.monotonic_ns(), str(path))

    def _failed(self, reason: str) -> FrameError:
        path = self._waiting.popleft().path
        index, self._next = self._next, self._next + 1
        return FrameError(reason, index, str(path))

    def close(self) -> None:
        """Stop watching."""
        self._closed = True

    def __enter__(self) -> WatchSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_watch(uri: str, timeout_s: float) -> WatchSource:
    """watch:FOLDER?existing=1&settle=0.2&early=1. Raises ConfigError for an option, SourceError for the folder."""
    path, _, query = uri.removeprefix("watch:").partition("?")
    options = replace(WatchOptions(), **read_options(uri, query, _OPTIONS))
    return WatchSource(f"watch:{path}", Path(path), options, timeout_s)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _settle(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 60:
        raise ValueError(text)
    return value


_OPTIONS: dict[str, Option] = {
    "existing": (switch_option, "0 or 1"),
    "settle": (_settle, "0.2"),
    "early": (_settle, "1 (0 to 60)"),
}
