"""The files of the store: `line=L/day=2026-03-01/<from>-<rows>.parquet`, each whole or not there.

Hive's partitions, which DuckDB, Spark, pandas and Polars read as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from csflow.runtime.atomic import clear_killed, sync_directory
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.history.rows import TEXTS, columns, day_of
from csflow.runtime.machine.install import pip_install

__all__ = ["Store", "duckdb"]

OWN_NAME = re.compile(r"\d{19}-\d+\.parquet")
LINE = re.compile(r"[^\W_][\w .+-]{0,63}")


def duckdb() -> Any:
    """The module. Raises BackendUnavailable where it is not installed."""
    try:
        import duckdb as module
    except ImportError:
        raise BackendUnavailable(f"the history needs duckdb: {pip_install('history')}") from None
    return module


class Store:
    """The files of one line, for writing."""

    def __init__(self, root: Path, line: str, budget_bytes: int | None = None) -> None:
        """Clear what a killed writer left.

        Args:
            line: name of the line: letters, digits, blanks and .+-_, at most 64.
            budget_bytes: what the files of this line may take; the oldest are deleted.

        Raises ConfigError for a name that is none, OSError as the file system does.
        """
        if not LINE.fullmatch(line):
            raise ConfigError(f"{line[:80]!r} is no name of a line: letters, digits, blanks and .+-_, at most 64")
        self.line = line
        self.folder = root / f"line={quote(line)}"
        self._budget = budget_bytes
        self._database = duckdb().connect()
        for day in self._days():
            clear_killed(day)

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records, one file for each of their days. Raises OSError as the file system does."""
        days: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            days.setdefault(day_of(record), []).append(record)
        for day, of_day in sorted(days.items()):
            self._write(day, of_day)

    def make_room(self) -> None:
        """Delete the oldest files of the line beyond its budget, but the newest. Raises OSError."""
        if self._budget is None:
            return
        files = [(path, path.stat().st_size) for path in self._files()]
        total = sum(size for _, size in files)
        for path, size in files[:-1]:
            if total <= self._budget:
                return
            path.unlink(missing_ok=True)
            total -= size
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def close(self) -> None:
        """Let go of the database. May be called twice."""
        self._database.close()

    def _write(self, day: str, records: Sequence[Mapping[str, Any]]) -> None:
        folder = self.folder / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = columns(records, self.line)
        first = int(rows["time"].min().astype("datetime64[ns]").astype(int))
        while (path := folder / f"{first:019d}-{len(records)}.parquet").exists():
            first += 1
        temporary = folder / f".{path.name}.00000000.tmp"
        del rows["line"]  # the folder says it
        # A column without a value would get a type of its own, which no other file's texts could be read as.
        typed = ", ".join(f"{name}::VARCHAR AS {name}" if name in TEXTS else name for name in rows)
        self._database.register("rows", rows)
        try:
            how = f"TO {_quoted(temporary)} (FORMAT parquet, COMPRESSION zstd)"
            self._database.execute(f"COPY (SELECT {typed} FROM rows) {how}")
        except duckdb().Error as error:
            temporary.unlink(missing_ok=True)
            raise OSError(0, str(error).splitlines()[0], str(path)) from None
        finally:
            self._database.unregister("rows")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(folder)

    def _days(self) -> list[Path]:
        return sorted(self.folder.glob("day=*"))

    def _files(self) -> Iterator[Path]:
        for day in self._days():
            yield from sorted(p for p in day.iterdir() if OWN_NAME.fullmatch(p.name))


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
