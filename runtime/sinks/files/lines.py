"""A text file that grows by whole lines: each is handed to the system at once, or taken back."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from csflow.runtime.errors import SinkError
from csflow.runtime.sink import sink_error

__all__ = ["LineFile"]


class LineFile:
    """Appends to a file, or to standard output where the path is '-'."""

    def __init__(self, path: Path | str) -> None:
        """Open for appending; the folder is made. A named pipe waits here for its reader.

        Raises SinkError when that is not possible.
        """
        self.name = "standard output" if str(path) == "-" else str(path)
        try:
            self._file: int | None = os.dup(1) if str(path) == "-" else _open(Path(path))
        except OSError as error:
            raise sink_error(error, self.name) from None

    def append(self, line: str) -> None:
        """Write `line` and its end. What does not fit is taken back, so that the file ends with a whole line."""
        if self._file is None:
            raise SinkError(f"{self.name} is closed")
        size = _size(self._file)
        try:
            _write_all(self._file, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            if size is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)
            raise sink_error(error, self.name) from None

    def close(self) -> None:
        """Close the file. May be called twice."""
        handle, self._file = self._file, None
        if handle is not None:
            try:
                os.close(handle)
            except OSError as error:
                raise sink_error(error, self.name) from None


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
