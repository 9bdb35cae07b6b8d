"""Results as JSON lines: one object a frame, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from csflow.runtime.schema import json_line
from csflow.runtime.sinks.files.lines import LineFile
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["JsonLinesSink"]


class JsonLinesSink:
    """Appends to a file, or to standard output where the path is '-'; each line is handed over at once."""

    def __init__(self, path: Path | str) -> None:
        """Open for appending; the folder is made. A named pipe waits here for its reader.

        Raises SinkError when that is not possible.
        """
        self._lines = LineFile(path)

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Write one line. A line that does not fit is taken back, so that the file ends with a whole one."""
        record = result_record(result)
        self._lines.append(json_line(record))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._lines.close()

    def __enter__(self) -> JsonLinesSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
