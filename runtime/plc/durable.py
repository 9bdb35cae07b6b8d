"""What survives a restart of the station: its numbers and the recipe in force, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from csflow.runtime.atomic import lock_file, write_atomic
from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.events import Counters
from csflow.runtime.schema import SchemaError, dump_json, from_mapping, parse_json, to_mapping

__all__ = ["Durable", "Kept"]

RESERVED = 10_000
"""Result ids that are reserved by one write: so many may be skipped by a restart, none is used twice."""
SAVE_S = 5.0
"""Longest time for which counters are not on disk yet."""
RETRY_S = 1.0
U32 = 1 << 32


@dataclass(frozen=True)
class Kept:
    """The state that is on disk."""

    boot_id: int
    """Of the last start; the next one has another."""
    result_id: int
    """No result has had a higher number."""
    recipe: int
    """In force last; 0 for none."""
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True)
class _File:
    crc32: int
    kept: Kept


class Durable:
    """A file in a folder. It is written by a thread of its own: a disk that hangs does not hold up the line."""

    def __init__(self, folder: Path, recipe: int) -> None:
        """Read what there is and begin the next boot; `recipe` is in force where nothing is there.

        Raises OSError where the folder cannot be written: the numbers of this start must be on disk before any is used;
        ConfigError where another station has it: both would use the same numbers.
        """
        self._lock = _locked(folder)
        try:
            self._begin(folder, recipe)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, folder: Path, recipe: int) -> None:
        self._path = folder / "station.json"
        self.words = ""
        """What was wrong at the start, or why writing fails; empty where all is well."""
        before = self._read()
        boot_id = secrets.randbelow(U32 - 1) + 1
        if before is None:
            before = Kept(0, int(time.time()) if self.words else 0, recipe)
        self.first_result_id = before.result_id
        """The last result id that may have been used."""
        self._saved = replace(before, boot_id=boot_id + (boot_id == before.boot_id), result_id=self._reserve(before))
        write_atomic(self._path, _bytes(self._saved))
        self._due: Kept | None = None
        self._next_s = time.monotonic() + SAVE_S
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="csflow-plc-state", daemon=True)
        self._thread.start()

    @property
    def kept(self) -> Kept:
        """What is on disk, or on its way."""
        return self._due or self._saved

    @staticmethod
    def _reserve(kept: Kept) -> int:
        return (kept.result_id + RESERVED) % U32

    def _read(self) -> Kept | None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            file = from_mapping(_File, parse_json(data))
            if file.crc32 != zlib.crc32(dump_json(to_mapping(file.kept))):
                raise SchemaError("its checksum is wrong")
        except SchemaError as error:
            aside = self._path.with_suffix(".damaged")
            with contextlib.suppress(OSError):
                os.replace(self._path, aside)
            self.words = f"{self._path} was damaged ({error}): kept as {aside.name}, the counters begin at 0"
            return None
        return file.kept

    def note(self, result_id: int, recipe: int, counters: Counters) -> None:
        """Tell what is true now; it is written when it must be, and else every few seconds. Never waits."""
        kept = self.kept
        used = (kept.result_id - result_id) % U32
        urgent = recipe != kept.recipe or used < RESERVED // 2 or used > RESERVED
        if not urgent and (time.monotonic() < self._next_s or counters == kept.counters):
            return
        self._next_s = time.monotonic() + SAVE_S
        mark = (result_id + RESERVED) % U32 if used < RESERVED // 2 or used > RESERVED else kept.result_id
        with self._change:
            self._due = Kept(kept.boot_id, mark, recipe, replace(counters))
            self._change.notify()

    def _write(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._due is not None or self._closing)
                if self._due is None:
                    return
                kept = self._due
            try:
                write_atomic(self._path, _bytes(kept))
            except OSError as error:
                self.words = f"{self._path} cannot be written ({error.strerror}): free the disk"
                if self._give_up():
                    return
                continue
            self.words = ""
            with self._change:
                self._saved = kept
                if self._due is kept:
                    self._due = None

    def _give_up(self) -> bool:
        """Wait before the next attempt; whether there is none, because the station ends."""
        with self._change:
            return self._change.wait_for(lambda: self._closing, RETRY_S)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is due."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join(timeout_s)
        self._lock.close()


def _locked(folder: Path) -> BinaryIO:
    try:
        return lock_file(folder / "station.lock")
    except BlockingIOError:
        raise ConfigError(
            f"another csflow plc has its state in {folder}: end it, or name another folder in station.state"
        ) from None


def _bytes(kept: Kept) -> bytes:
    return dump_json({"crc32": zlib.crc32(dump_json(to_mapping(kept))), "kept": to_mapping(kept)})
