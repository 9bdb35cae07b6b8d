"""Results to a web server: one POST with a JSON object each."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.schema import json_line
from csflow.runtime.sink import TryAgain
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["WebhookSink", "masked_url"]

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class WebhookSink:
    """Posts each result and waits for the answer: put it behind a `BackgroundSink`, which also tries again."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Check the address; nothing is sent.

        Args:
            url: http:// or https://, with a user and password if the server asks for them (basic authentication).
            timeout_s: longest time in seconds for one answer.

        Raises ConfigError for any other address.
        """
        parts = _checked(url)
        self._name = masked_url(url)
        self._headers = {"Content-Type": "application/json", "User-Agent": "csflow"}
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        if parts.username is not None:
            self._headers["Authorization"] = _basic(parts.username, parts.password or "")
        self._timeout_s = timeout_s
        # A redirect is refused: it would turn the POST into a GET, and the result would be lost without a word.
        self._opener = urllib.request.build_opener(_NoRedirect)

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Post the result.

        Raises:
            TryAgain: no answer, or one that says so (408, 425, 429, 500, 502, 503, 504).
            SinkError: the server refused it.
        """
        data = json_line(result_record(result)).encode()
        request = urllib.request.Request(self._url, data, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            kind = TryAgain if error.code in TEMPORARY else SinkError
            raise kind(
                f"{self._name} answered {error.code} {error.reason}: correct the address or the server"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error or type(error).__name__
            raise TryAgain(f"{self._name} does not answer ({reason}): check the network and the server") from None

    def close(self) -> None:
        """Nothing to release: each POST has its own connection."""

    def __enter__(self) -> WebhookSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def masked_url(url: str) -> str:
    """The address without user, password and query, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _checked(url: str) -> Any:
    expected = "expected http://HOST/PATH or https://HOST/PATH"
    try:
        parts = urlsplit(url)
        port_given = parts.port
    except ValueError:
        raise ConfigError(f"that is no web address: {expected}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port_given == 0:
        raise ConfigError(f"{masked_url(url)!r} is no web address: {expected}")
    if not re.fullmatch(r"[!-~]+", parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()):
        raise ConfigError(
            f"{masked_url(url)!r} has blanks or other characters that no web address has: write them as %20, %C3%BC; "
            "a host's name in its xn-- form"
        )
    return parts


def _basic(user: str, password: str) -> str:
    import base64
    from urllib.parse import unquote

    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")
