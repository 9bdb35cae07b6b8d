"""Results of a run into the store, in files of some minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from csflow.runtime.history.rows import day_of
from csflow.runtime.history.store import Store
from csflow.runtime.sink import sink_error
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["HistorySink"]

ROWS = 20_000
SECONDS = 300.0


class HistorySink:
    """Keeps rows back until 20,000 are there or, when another comes, the oldest is 5 minutes old: small files make
    questions slow.

    A power cut costs those rows, of a line that stands still the last ones; the JSON lines of `--results` have them,
    and `csflow history --add` takes them.
    """

    def __init__(self, root: Path, line: str, budget_bytes: int | None = None) -> None:
        """Open the store: see `Store`, whose errors it raises; SinkError where the folder cannot be written."""
        try:
            self._store = Store(root, line, budget_bytes)
            self._store.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sink_error(error, root) from None
        self._root = root
        self._rows: list[dict[str, Any]] = []
        self._since_s = 0.0

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Take a row. Raises SinkError where a file cannot be written; its rows are tried again with the next."""
        if not self._rows:
            self._since_s = time.monotonic()
        self._rows.append(result_record(result))
        if len(self._rows) >= ROWS or time.monotonic() - self._since_s >= SECONDS:
            self._flush()

    def close(self) -> None:
        """Write what is there. May be called twice."""
        try:
            self._flush()
        finally:
            self._store.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        self._since_s = time.monotonic()
        try:
            # Day by day: what is in the store must not be tried again with what is not.
            for day in sorted({day_of(row) for row in self._rows}):
                self._store.append([row for row in self._rows if day_of(row) == day])
                self._rows = [row for row in self._rows if day_of(row) != day]
            self._store.make_room()
        except OSError as error:
            del self._rows[: -10 * ROWS]  # a disk that stays full must not fill the memory
            raise sink_error(error, self._root) from None

    def __enter__(self) -> HistorySink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
