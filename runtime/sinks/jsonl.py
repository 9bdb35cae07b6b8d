"""Results as JSON lines: one object a frame, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from csflow.runtime.errors import SinkError
from csflow.runtime.sink import sink_error
from csflow.runtime.types import Frame, Result

__all__ = ["JsonLinesSink", "result_record"]


class JsonLinesSink:
    """Appends to a file, or to standard output where the path is '-'; each line is handed over at once."""

    def __init__(self, path: Path | str) -> None:
        """Open for appending; the folder is made. A named pipe waits here for its reader.

        Raises SinkError when that is not possible.
        """
        self._name = "standard output" if str(path) == "-" else str(path)
        try:
            self._file: int | None = os.dup(1) if str(path) == "-" else _open(Path(path))
        except OSError as error:
            raise sink_error(error, self._name) from None

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Write one line. A line that does not fit is taken back, so that the file ends with a whole one."""
        if self._file is None:
            raise SinkError(f"{self._name} is closed")
        line = json.dumps(result_record(result), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = _size(self._file)
        try:
            _write_all(self._file, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            if size is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)
            raise sink_error(error, self._name) from None

    def close(self) -> None:
        """Close the file. May be called twice."""
        handle, self._file = self._file, None
        if handle is not None:
            try:
                os.close(handle)
            except OSError as error:
                raise sink_error(error, self._name) from None

    def __enter__(self) -> JsonLinesSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def result_record(result: Result) -> dict[str, Any]:
    """The result as a JSON object: finite numbers or null, the verdict by name, no map.

    `time_utc` is the wall clock when the record was made; `captured_ns` is monotonic and has no date.
    """
    return {
        "frame_index": result.frame_index,
        "verdict": result.verdict.name,
        "score": _finite(result.score),
        "threshold": _finite(result.threshold),
        "p_value": _finite(result.p_value),
        "peak_xy": list(result.peak_xy) if result.peak_xy != (-1, -1) else None,
        "latency_s": _finite(result.latency_s),
        "captured_ns": result.captured_ns,
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": result.source,
        "reason": result.reason,
        "verified": result.verified,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Write-only: of a pipe this must be the writing end alone, or a reader that ends would go unnoticed.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        # A power cut may have left half a line; the new ones must not run on from it.
        if _size(handle) and not _ends_with_line(path):
            _write_all(handle, b"\n")
    except OSError:
        os.close(handle)
        raise
    return handle


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _size(handle: int) -> int | None:
    status = os.fstat(handle)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
