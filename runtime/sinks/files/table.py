"""Results as a CSV table, one row a frame: for spreadsheets and statistics programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from csflow.runtime.errors import SinkError
from csflow.runtime.machine.names import shown
from csflow.runtime.sink import sink_error
from csflow.runtime.sinks.files.lines import LineFile
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["COLUMNS", "CsvSink"]

COLUMNS = (
    "time_utc",
    "frame_index",
    "verdict",
    "score",
    "threshold",
    "warn_threshold",
    "p_value",
    "peak_x",
    "peak_y",
    "latency_s",
    "camera",
    "source",
    "trigger",
    "part",
    "fault",
    "reason",
    "verified",
    "engine",
    "engine_sha256",
    "bundle",
    "bundle_sha256",
    "weights_sha256",
    "calibration_sha256",
    "pack_sha256",
    "signed_by",
)


class CsvSink:
    """Appends rows with a header (RFC 4180: commas, quotes doubled, decimal points); an empty field is no value."""

    def __init__(self, path: Path | str) -> None:
        """Open for appending; a new file gets the header.

        Raises SinkError when that is not possible, or when the file has other columns.
        """
        _require_columns(Path(path))
        self._lines = LineFile(path, _row(COLUMNS))

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Write one row, whole or not at all."""
        record = result_record(result)
        record["peak_x"], record["peak_y"] = record["peak_xy"] or (None, None)
        self._lines.append(_row(_safe(record[column]) for column in COLUMNS))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._lines.close()

    def __enter__(self) -> CsvSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _require_columns(path: Path) -> None:
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            first = file.readline(4096)
    except OSError as error:
        raise sink_error(error, path) from None
    if first and first.decode("utf-8", "replace").strip() != _row(COLUMNS):
        raise SinkError(f"{path} is not a table of this csflow: its columns differ; name another file")


def _row(fields: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(fields)
    return buffer.getvalue()


def _safe(value: Any) -> Any:
    # A file name may begin like a formula, which a spreadsheet would run; and a row must stay one line.
    if isinstance(value, str):
        text = "".join(c if c.isprintable() else "?" for c in shown(value))
        return "'" + text if text[:1] in ("=", "+", "-", "@") else text
    return value
