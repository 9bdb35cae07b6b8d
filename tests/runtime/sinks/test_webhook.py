"""Results to a web server on loopback, also one that refuses, dies and comes back."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.sink import TryAgain
from csflow.runtime.sinks.background import BackgroundSink
from csflow.runtime.sinks.webhook import WebhookSink
from csflow.runtime.types import Result, Verdict

from .servers import Hook, wait_until

NOK = Result(Verdict.NOK, 2.0, 1.0, 0.1, np.zeros((1, 1), np.float32), (0, 0), "why", 7, 0, 0.1, "cam")


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.close()


def test_a_result_is_posted_as_json(hook: Hook) -> None:
    with WebhookSink(hook.url) as sink:
        sink.write(NOK, None)
    (body,) = hook.bodies
    assert (body["verdict"], body["frame_index"], body["score"]) == ("NOK", 7, 2.0)
    assert hook.headers[0]["content-type"] == "application/json"


def test_user_and_password_are_sent_as_such_and_never_told(hook: Hook) -> None:
    hook.statuses = [403]
    sink = WebhookSink(hook.url.replace("//", "//line%201:p%40ss@"))
    with pytest.raises(SinkError, match="answered 403") as caught:
        sink.write(NOK, None)
    assert "p%40ss" not in str(caught.value)
    assert base64.b64decode(hook.headers[0]["authorization"].removeprefix("Basic ")) == b"line 1:p@ss"


@pytest.mark.parametrize(
    ("status", "kind"), [(500, TryAgain), (503, TryAgain), (429, TryAgain), (404, SinkError), (302, SinkError)]
)
def test_only_what_may_pass_is_tried_again(status: int, kind: type[SinkError], hook: Hook) -> None:
    hook.statuses = [status]
    with pytest.raises(SinkError, match=f"answered {status}") as caught:
        WebhookSink(hook.url).write(NOK, None)
    assert type(caught.value) is kind
    assert len(hook.bodies) == 1


def test_a_server_that_is_not_there_or_says_nothing_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(TryAgain, match="does not answer"):
            WebhookSink(address, timeout_s=0.05).write(NOK, None)
    with pytest.raises(TryAgain, match="does not answer"):
        WebhookSink(address).write(NOK, None)


def test_a_server_that_comes_back_gets_what_waited(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.PAUSES_S", (0.001, 0.01))
    hook.statuses = [503, 503, 503]
    sink = BackgroundSink(WebhookSink(hook.url), "webhook")
    for _ in range(3):
        sink.write(NOK, None)
    wait_until(lambda: sink.report().written == 3)
    sink.close()
    assert len(hook.bodies) == 6
    assert (sink.report().failed, sink.report().dropped) == (0, 0)


NO_ADDRESSES = ["", "parts", "ftp://h/x", "http://", "http://h:99999/", "file:///etc/passwd", "http://h:0/"]


@pytest.mark.parametrize("url", [*NO_ADDRESSES, "http://h/line 1", "http://h/prüfung", "http://prüfer/"])
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(ConfigError, match="web address"):
        WebhookSink(url)
