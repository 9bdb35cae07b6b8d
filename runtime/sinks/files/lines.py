"""A text file that grows by whole lines: each is handed to the system at once, or taken back."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

from csflow.runtime.errors import SinkError
from csflow.runtime.sink import sink_error

__all__ = ["LineFile"]

log = logging.getLogger("csflow.outputs")


class LineFile:
    """Appends to a file, or to standard output where the path is '-'."""

    def __init__(self, path: Path | str, header: str = "") -> None:
        """Open for appending; the folder is made. A named pipe waits here for its reader.

        Args:
            header: the first line of a file, also of one that was emptied, or deleted, meanwhile.

        Raises SinkError when that is not possible.
        """
        self._path, self._header = None if str(path) == "-" else Path(path), header
        self.name = "standard output" if self._path is None else str(path)
        try:
            self._file: int | None = os.dup(1) if self._path is None else _open(self._path)
        except OSError as error:
            raise sink_error(error, self.name) from None
        if header and not _size(self._file):
            self._append(self._file, "")

    def append(self, line: str) -> None:
        """Write `line` and its end. What does not fit is taken back, so that the file ends with a whole line.

        A file that somebody deleted is made anew: what is written into it would be gone with it.
        """
        if self._file is None:
            raise SinkError(f"{self.name} is closed")
        if self._path is not None and os.fstat(self._file).st_nlink == 0 and _size(self._file) is not None:
            self._file = self._anew(self._path, self._file)
        self._append(self._file, line + "\n")

    def _anew(self, path: Path, deleted: int) -> int:
        log.warning("%s was deleted: it is made anew", self.name)
        try:
            made = _open(path)
        except OSError as error:
            raise sink_error(error, self.name) from None
        os.close(deleted)
        return made

    def _append(self, handle: int, text: str) -> None:
        size = _size(handle)
        head = self._header + "\n" if self._header and (size == 0 or not text) else ""
        try:
            _write_all(handle, (head + text).encode("utf-8", "backslashreplace"))
        except OSError as error:
            if size is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, size)
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
