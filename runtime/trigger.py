"""Triggers: somebody asks for a verdict, and every request gets exactly one result.

stdin                    one request a line; the line is its id
http://127.0.0.1:8500    POST /trigger?id=...; the answer is the result as JSON
gpio:/dev/gpiochip0:17   one request an edge of a digital input (csflow.runtime.triggers.gpio)
"""

from __future__ import annotations

import http.server
import json
import queue
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol
from urllib.parse import parse_qs, urlsplit

from csflow.runtime.errors import ConfigError, EndOfStream
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Result

__all__ = ["HttpTrigger", "LineTrigger", "Pending", "Request", "Trigger", "open_trigger"]

MAX_PENDING = 16
MAX_ID = 64
ANSWER_S = 60.0
"""Longest time in seconds that a request over HTTP waits for its result, however long the deadline."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Request:
    """One wish for a verdict."""

    id: str
    asked_ns: int
    """`time.monotonic_ns()` when it arrived; only frames captured later may answer it."""
    missed: bool = False
    """Too many were waiting: it is answered with ERROR."""


class Trigger(Protocol):
    """Gives requests and takes their results. One thread calls `next` and `answer`."""

    name: str

    def next(self, timeout_s: float) -> Request | None:
        """The next request, or None when none came in time; EndOfStream when none will come.

        Raises SourceLost where what gave them is gone.
        """

    def answer(self, request: Request, result: Result) -> None:
        """Take the one result of `request`."""

    def close(self) -> None:
        """Ask for nothing more. May be called twice."""


class Pending:
    """Requests in the order of their arrival, from one thread to another."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Request | Exception] = queue.SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def add(self, name: str, asked_ns: int | None = None, missed: bool = False) -> Request:
        """A new request, with its number as id where it has no name; missed also where too many wait."""
        with self._lock:
            self._count += 1
            number = self._count
        missed = missed or self._queue.qsize() >= MAX_PENDING
        asked_ns = time.monotonic_ns() if asked_ns is None else asked_ns
        request = Request(_printable(name)[:MAX_ID] or str(number), asked_ns, missed)
        self._queue.put(request)
        return request

    def end(self, why: Exception | None = None) -> None:
        """No more will come; `next` raises the reason, EndOfStream where there is none."""
        self._queue.put(why or EndOfStream())

    def next(self, timeout_s: float) -> Request | None:
        """As `Trigger.next`."""
        try:
            request = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(request, Exception):
            self._queue.put(request)
            raise request
        return request


class LineTrigger:
    """One request a line of a stream, stamped when it was read; the results go to the sinks alone."""

    def __init__(self, lines: BinaryIO, name: str = "stdin") -> None:
        self.name = name
        self._lines = lines
        self._pending = Pending()
        threading.Thread(target=self._read, name="csflow-trigger", daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._lines:
                self._pending.add(line.decode("utf-8", "replace").strip())
        except (OSError, ValueError):
            pass  # closed while it was read: no more requests, as at its end
        self._pending.end()

    def next(self, timeout_s: float) -> Request | None:
        """The next line."""
        return self._pending.next(timeout_s)

    def answer(self, request: Request, result: Result) -> None:
        """Nothing: a line has no way back."""

    def close(self) -> None:
        """Nothing to release: the stream belongs to the caller."""


class HttpTrigger:
    """POST /trigger?id=... on a loopback address; the answer is the result, 200 whatever its verdict."""

    def __init__(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError where the address is taken or not of this machine alone."""
        if host not in LOOPBACK:
            raise ConfigError(
                f"triggers are taken on loopback only, not on {host!r}: put a proxy with a login before it"
            )
        self._pending = Pending()
        self._answers: dict[int, queue.SimpleQueue[Result]] = {}
        self._lock = threading.Lock()
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), _handler(self))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}): choose another port") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.name = f"http://{host}:{self.port}/trigger"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def ask(self, name: str) -> Result | None:
        """The result for a new request; None when none came. Called by the server's threads."""
        box: queue.SimpleQueue[Result] = queue.SimpleQueue()
        with self._lock:
            request = self._pending.add(name)
            self._answers[id(request)] = box
        try:
            return box.get(timeout=ANSWER_S)
        except queue.Empty:
            return None
        finally:
            with self._lock:
                self._answers.pop(id(request), None)

    def next(self, timeout_s: float) -> Request | None:
        """The next request."""
        return self._pending.next(timeout_s)

    def answer(self, request: Request, result: Result) -> None:
        """Send the result to whoever asked."""
        with self._lock:
            box = self._answers.get(id(request))
        if box is not None:
            box.put(result)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def open_trigger(text: str) -> Trigger:
    """What --trigger names. Raises ConfigError, and as `GpioTrigger` does."""
    if text == "stdin":
        return LineTrigger(sys.stdin.buffer)
    if text.startswith("gpio:"):
        from csflow.runtime.triggers.gpio import GpioTrigger

        return GpioTrigger(text)
    parts = urlsplit(text if "://" in text else f"http://{text.removeprefix('http:')}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme != "http" or not host or port is None or parts.path.strip("/") or parts.query:
        raise ConfigError(f"no trigger {text!r}: expected stdin, http://127.0.0.1:8500 or gpio:/dev/gpiochip0:17")
    return HttpTrigger(host, port)


def _handler(trigger: HttpTrigger) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10.0

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            # A page in a browser may send a form anywhere; it cannot send it without an Origin.
            if parts.path != "/trigger" or self.headers.get("Origin"):
                self.send_error(404, "POST /trigger?id=...")
                return
            result = trigger.ask(parse_qs(parts.query).get("id", [""])[0])
            if result is None:
                self.send_error(504, "no result")
                return
            self._send(result_record(result))

        def _send(self, record: dict[str, Any]) -> None:
            body = json.dumps(record, allow_nan=False).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
