"""Network cameras over HTTP: an MJPEG stream, or one picture a request; every picture decoded strictly.

What the address gives decides: multipart/x-mixed-replace is a stream of pictures, image/* is the newest picture, asked
for again and again; all else (a video, HLS) is for OpenCV.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import threading
import time
import urllib.error
import urllib.request
from typing import Protocol
from urllib.parse import unquote, urlsplit

from csflow.runtime.errors import DataError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.picture.jpeg import decode_jpeg
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.multipart import MAX_PART_BYTES, MultipartReader, boundary_of
from csflow.runtime.sources.opencv import open_network, redact
from csflow.runtime.types import Frame

__all__ = ["HttpSource", "Pictures", "open_http"]

CLOSE_TIMEOUT_S = 1.0
SNAPSHOT_PAUSE_S = 0.05
"""Shortest time from one request for a picture to the next."""
CHUNK_BYTES = 1 << 16
_FAILURES = (OSError, http.client.HTTPException)


class Pictures(Protocol):
    """Gives the bytes of one picture after the other."""

    def next(self) -> tuple[bytes, int] | None:
        """A picture and when it was taken, by `time.monotonic_ns`, or None where there is no new one yet.

        Raises EOFError at the end, ValueError for what is no picture, OSError or HTTPException for a broken line.
        """

    def close(self) -> None:
        """Let go of the connection."""


class HttpSource:
    """A camera over HTTP. A read ends when a picture is there, or when the camera was silent for too long."""

    live = True

    def __init__(self, name: str, pictures: Pictures, stall_s: float) -> None:
        """Take over what gives the pictures.

        Args:
            name: shown to people, without credentials.
            pictures: where they come from.
            stall_s: longest time in seconds without a new picture.
        """
        self.name = name
        self._pictures = pictures
        self._stall_s = stall_s
        self._next = 0
        self._heard_s = time.monotonic()
        self._closed = False
        self._lock = threading.Lock()

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - the connection's own time limit holds
        """The next picture; one that was cut off or damaged is a FrameError with fault 'truncated'."""
        with self._lock:
            if self._closed:
                raise EndOfStream
            try:
                got = self._pictures.next()
            except EOFError:
                raise self._lost("ended its stream") from None
            except TimeoutError:
                raise self._lost(f"was silent for {self._stall_s:g} s") from None
            except ValueError as error:
                raise self._lost(f"sends no pictures: {error}") from None
            except _FAILURES as error:
                raise self._lost(f"broke off ({_told(error)})") from None
        if got is not None:
            return self._frame(*got)
        if time.monotonic() - self._heard_s > self._stall_s:
            raise self._lost(f"gave no new picture for {self._stall_s:g} s")
        return None

    def _frame(self, data: bytes, captured_ns: int) -> Frame:
        self._heard_s = time.monotonic()
        index, self._next = self._next, self._next + 1
        try:
            return Frame(decode_jpeg(data), index, captured_ns, self.name)
        except DataError as error:
            raise FrameError(f"{self.name} delivered {error}", index, self.name, "truncated") from None

    def _lost(self, what: str) -> SourceError:
        message = f"{self.name} {what}: check camera and network"
        return SourceLost(message) if self._next else SourceError(message)

    def close(self) -> None:
        """Close the connection. A read under way keeps it until that ends."""
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_TIMEOUT_S):
            try:
                self._pictures.close()
            finally:
                self._lock.release()

    def __enter__(self) -> HttpSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Stream:
    """The parts of one answer that does not end."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        boundary = boundary_of(answer.headers.get("Content-Type", ""))
        self._reader = MultipartReader(lambda: answer.read1(CHUNK_BYTES), boundary)

    def next(self) -> tuple[bytes, int] | None:
        return self._reader.part(), time.monotonic_ns()

    def close(self) -> None:
        self._answer.close()


class _Snapshots:
    """A new request for every picture. The same bytes again are the same picture, not another one."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._asked_ns = 0
        self._before = b""

    def next(self) -> tuple[bytes, int] | None:
        time.sleep(max(0.0, SNAPSHOT_PAUSE_S - (time.monotonic_ns() - self._asked_ns) / 1e9))
        # The moment of the request: the picture is not older, unless the camera keeps an old one.
        self._asked_ns = time.monotonic_ns()
        with self._connection.ask() as answer:
            data = answer.read(MAX_PART_BYTES)
        same, self._before = data == self._before, data
        return None if same else (data, self._asked_ns)

    def close(self) -> None:
        """Nothing is open between two requests."""


class _Refusal(urllib.request.BaseHandler):
    """Closes the answer that asks for a login, before one of the handlers that know it asks again."""

    handler_order = 400

    def http_error_401(self, _request: object, answer: http.client.HTTPResponse, *_: object) -> None:
        answer.close()


class _Connection:
    """Requests to one address, with the login that it needs (RFC 7617, RFC 7616)."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
        self._address = parts._replace(netloc=host).geturl()
        self._timeout_s = timeout_s
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if parts.username is not None:
            known.add_password(None, self._address, unquote(parts.username), unquote(parts.password or ""))
        logins = (urllib.request.HTTPBasicAuthHandler(known), urllib.request.HTTPDigestAuthHandler(known))
        self._opener = urllib.request.build_opener(_Refusal(), *logins)

    def ask(self) -> http.client.HTTPResponse:
        """The answer, opened. Raises OSError and HTTPException."""
        request = urllib.request.Request(self._address, headers={"User-Agent": "csflow", "Cache-Control": "no-cache"})
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            raise
        return answer


def open_http(uri: str, timeout_s: float) -> FrameSource:
    """What an http:// or https:// address gives; credentials in `uri` are used but never shown.

    Raises SourceError where nothing answers, or not with pictures.
    """
    name = redact(uri)
    importlib.import_module("simplejpeg")  # absent, it is to be missed now and not at the first picture
    try:
        connection = _Connection(uri, timeout_s)
        answer = connection.ask()
    except (*_FAILURES, ValueError) as error:
        raise SourceError(
            f"{name} does not answer with a stream within {timeout_s:g} s ({_told(error)}): "
            "check address, credentials and network"
        ) from None
    kind = answer.headers.get_content_type()
    if kind.startswith("multipart/"):
        return HttpSource(name, _Stream(answer), timeout_s)
    with contextlib.suppress(*_FAILURES):
        answer.close()
    if kind.startswith("image/"):
        return HttpSource(name, _Snapshots(connection), timeout_s)
    return open_network(uri, timeout_s)


def _told(error: Exception) -> str:
    """What happened, without the address, which may hold a password."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, OSError):
        return reason.strerror or type(reason).__name__
    return type(reason).__name__ if isinstance(reason, Exception) else str(reason)
