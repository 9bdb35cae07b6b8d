"""The parts of a multipart/x-mixed-replace stream, as network cameras send pictures over HTTP.

The grammar is that of RFC 2046, section 5.1; cameras keep to it loosely: their boundary has dashes or not, a length or
none, and what was cut off on its way is followed by the next part all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from csflow.runtime.picture.jpeg import end_of_jpeg

__all__ = ["MAX_PART_BYTES", "MultipartReader", "boundary_of"]

MAX_PART_BYTES = 1 << 27
"""A part longer than this is no picture."""
MAX_LINE_BYTES = 256
_BLANK = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"^content-length:\s*([0-9]{1,9})\s*$", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(r"boundary\s*=\s*(\"[^\"]+\"|[^\s;]+)", re.IGNORECASE)


def boundary_of(content_type: str) -> str:
    """The boundary that a Content-Type names; empty where it names none."""
    found = _BOUNDARY.search(content_type)
    return found[1].strip('"') if found else ""


class MultipartReader:
    """Cuts a stream into the bodies of its parts, each as soon as it is there."""

    def __init__(self, receive: Callable[[], bytes], boundary: str) -> None:
        """Read from `receive`, which gives some more bytes and b"" at the end."""
        self._receive = receive
        self._data = bytearray()
        dashes = rb"-{2,}" if boundary else rb"--[!-~]{1,74}"
        core = re.escape(boundary.lstrip("-").encode("latin-1", "replace"))
        self._delimiter = re.compile(rb"(?:^|\r?\n)" + dashes + core + rb"[ \t]*(?:\r?\n|--)")

    def part(self) -> bytes:
        """The next body; of one that was cut off, what came of it.

        Raises:
            EOFError: the stream ended before another part began.
            ValueError: what comes is no multipart stream, or a part without end.
        """
        head = self._head()
        length = _LENGTH.search(head)
        return self._counted(int(length[1])) if length else self._delimited()

    def _head(self) -> bytes:
        """The header lines of the next part; what stands before its delimiter is passed over."""
        passed = 0
        while True:
            found = self._delimiter.search(self._data)
            passed += self._drop(found.start() if found else max(0, len(self._data) - MAX_LINE_BYTES))
            blank = _BLANK.search(self._data, found.end() - found.start() - 2) if found else None
            if found and blank:
                head = bytes(self._data[: blank.start() + 1]).replace(b"\r", b"")
                self._drop(blank.end())
                return head
            if passed + len(self._data) > MAX_PART_BYTES:
                raise ValueError("it sends no parts with the boundary that it names")
            if not self._more():
                raise EOFError

    def _counted(self, length: int) -> bytes:
        """As many bytes as announced, or fewer where the next part begins before."""
        if length > MAX_PART_BYTES:
            raise ValueError(f"it announces a part of {length} bytes")
        while len(self._data) < length and self._more():
            pass
        body = bytes(self._data[:length])
        if not end_of_jpeg(body) and (found := self._delimiter.search(body)):
            body = body[: found.start()]
        self._drop(len(body))
        return body

    def _delimited(self) -> bytes:
        """Up to the end of the JPEG or to the next delimiter, whichever comes first."""
        seen = 0
        while len(self._data) <= MAX_PART_BYTES:
            found = self._delimiter.search(self._data, max(0, seen - MAX_LINE_BYTES))
            length, seen = end_of_jpeg(self._data), len(self._data)
            if length or found or not self._more():
                body = bytes(self._data[: length or (found.start() if found else seen)])
                self._drop(len(body))
                return body
        raise ValueError(f"it sends {MAX_PART_BYTES} bytes without the end of a part")

    def _drop(self, count: int) -> int:
        del self._data[:count]
        return count

    def _more(self) -> bool:
        received = self._receive()
        self._data += received
        return bool(received)
