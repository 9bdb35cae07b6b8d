"""A request over HTTP as trigger: its answer is the result."""

from __future__ import annotations

import http.server
import queue
import socket
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from csflow.runtime.errors import ConfigError
from csflow.runtime.schema import json_line
from csflow.runtime.sinks.record import result_record
from csflow.runtime.trigger import Request, no_trigger
from csflow.runtime.triggers.pending import PendingTrigger
from csflow.runtime.types import Result

__all__ = ["HttpTrigger", "open_http"]

ANSWER_S = 60.0
"""Longest time in seconds that a request over HTTP waits for its result, and so its longest deadline."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class HttpTrigger(PendingTrigger):
    """POST /trigger?id=...&part=...&deadline_ms=... on a loopback address, each of them if wanted.

    The answer is the result, 200 whatever its verdict.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError where the address is taken or not of this machine alone."""
        if host not in LOOPBACK:
            raise ConfigError(
                f"triggers are taken on loopback only, not on {host!r}: put a proxy with a login before it"
            )
        self._answers: dict[int, queue.SimpleQueue[Result | None]] = {}
        self._lock = threading.Lock()
        try:
            self._server = _server(host)((host, port), _handler(self))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}): choose another port") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        shown = f"[{host}]" if ":" in host else host
        super().__init__(f"http://{shown}:{self.port}/trigger")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def ask(self, name: str, part: str = "", deadline_s: float | None = None) -> Result | None:
        """The result for a new request; None when none came. Called by the server's threads."""
        box: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        with self._lock:
            request = self._pending.add(name, part=part, deadline_s=deadline_s)
            self._answers[id(request)] = box
        try:
            return box.get(timeout=ANSWER_S)
        except queue.Empty:
            return None
        finally:
            with self._lock:
                self._answers.pop(id(request), None)

    def answer(self, request: Request, result: Result) -> None:
        """Send the result to whoever asked."""
        with self._lock:
            box = self._answers.get(id(request))
        if box is not None:
            box.put(result)

    def close(self) -> None:
        """Stop listening; who still waits gets no result. May be called twice."""
        super().close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            for box in self._answers.values():
                box.put(None)


def open_http(text: str) -> HttpTrigger:
    """The trigger that 'http://127.0.0.1:8500' names; the scheme may be left out. Raises ConfigError."""
    parts = urlsplit(text if "://" in text else f"http://{text.removeprefix('http:')}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme != "http" or not host or port is None or parts.path.strip("/") or parts.query:
        raise no_trigger(text)
    return HttpTrigger(host, port)


def _deadline_s(text: str | None) -> float | None:
    if text is None:
        return None
    seconds = float(text) / 1e3
    if not 0 < seconds <= ANSWER_S:
        raise ValueError(text)
    return seconds


def _server(host: str) -> type[http.server.ThreadingHTTPServer]:
    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _handler(trigger: HttpTrigger) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10.0

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            # A page in a browser may send a form anywhere; it cannot send it without an Origin.
            if parts.path != "/trigger" or self.headers.get("Origin"):
                self.send_error(404, "POST /trigger?id=...")
                return
            given = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                deadline_s = _deadline_s(given.get("deadline_ms"))
            except ValueError:
                self.send_error(400, "deadline_ms is a number above 0, at most 60000")
                return
            result = trigger.ask(given.get("id", ""), given.get("part", ""), deadline_s)
            if result is None:
                self.send_error(504, "no result")
                return
            self._send(result_record(result))

        def _send(self, record: dict[str, Any]) -> None:
            body = json_line(record).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler
