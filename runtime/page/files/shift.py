"""The shift's counters on disk, so that they go on where a run starts anew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from csflow.runtime.atomic import NO_LOCKS, lock_file, write_atomic
from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.schema import SchemaError, dump_json, from_mapping, parse_json, to_mapping
from csflow.runtime.sink import sink_error
from csflow.runtime.types import Verdict

__all__ = ["Shift", "ShiftFile"]

SAVE_S = 2.0
"""Longest time for which counters are not on disk yet: so much a power cut may cost."""
JOIN_S = 2.0

log = logging.getLogger("csflow.page")


@dataclass(frozen=True)
class Shift:
    """What was counted since a moment."""

    since: float
    """Seconds since 1970."""
    counts: dict[str, int]
    """Results by verdict."""

    def __post_init__(self) -> None:
        verdicts = {verdict.name for verdict in Verdict if verdict is not Verdict.NONE}
        if set(self.counts) != verdicts or min(self.counts.values()) < 0:
            raise ValueError("counts: expected a number of results for each verdict")


class ShiftFile:
    """Written by a thread of its own, whole or not at all: a disk that hangs holds up neither the line nor the page."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run left: `kept`, None where there is nothing.

        Raises:
            ConfigError: another run counts in this file.
            SinkError: the folder cannot be written.
        """
        self._path = path
        self._lock = _locked(path)
        self.kept = self._read()
        self._saved = self.kept
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, count: Callable[[], Shift]) -> None:
        """Write what `count` gives from now on, and at the end."""
        work = partial(self._save_now_and_then, count)
        self._thread = threading.Thread(target=work, name="csflow-shift", daemon=True)
        self._thread.start()

    def _read(self) -> Shift | None:
        try:
            return from_mapping(Shift, parse_json(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, SchemaError) as error:
            log.warning("%s cannot be read (%s): the shift begins at 0", self._path, error)
            return None

    def _save_now_and_then(self, count: Callable[[], Shift]) -> None:
        failed, ending = "", False
        while not ending:
            ending = self._ending.wait(SAVE_S)
            if (shift := count()) != self._saved:
                failed = self._save(shift, failed)

    def _save(self, shift: Shift, failed: str) -> str:
        """Write it; why it could not be, which is logged where it is news."""
        try:
            write_atomic(self._path, dump_json(to_mapping(shift)))
        except OSError as error:
            why = str(sink_error(error, self._path))
            if why != failed:
                log.warning("the shift's counters are not kept: %s", why)
            return why
        self._saved = shift
        return ""

    def close(self) -> None:
        """Write what is due. May be called twice."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        self._lock.close()


def _locked(path: Path) -> BinaryIO:
    try:
        return lock_file(path.with_name(f".{path.name}.lock"))
    except BlockingIOError:
        raise ConfigError(f"another csflow run counts its shift in {path}: give each run a file of its own") from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise SinkError(
                f"{path} cannot be locked ({error.strerror}): name a file on a disk of this machine"
            ) from None
        raise sink_error(error, path) from None
