"""The commissioner's page over HTTP: who may see it, and that it shows what the view gives."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.commissioning.page import StationPage

VIEW = {"state": "READY", "ready": True, "handshakes": []}
TOKEN = "0123456789abcdef"


@pytest.fixture
def page() -> Iterator[StationPage]:
    made = StationPage("127.0.0.1:0", None, lambda: dict(VIEW))
    yield made
    made.close()
    made.close()


def get(page: StationPage, path: str, **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if path == "/events":
            lines = [answer.readline() for _ in range(4)] if answer.status == 200 else []
            return answer.status, b"".join(lines), answer.headers
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_everything_the_page_needs_is_served_from_here(page: StationPage) -> None:
    status, html, headers = get(page, "/")
    assert status == 200
    assert b'src="station.js"' in html
    assert "default-src 'none'" in headers["content-security-policy"]
    assert get(page, "/station.js")[0] == get(page, "/station.css")[0] == 200
    assert get(page, "/frame/1.jpg")[0] == 404


def test_it_tells_what_the_view_gives(page: StationPage) -> None:
    status, text, _ = get(page, "/events")
    assert status == 200
    (line,) = [line for line in text.splitlines() if line.startswith(b"data: ")]
    assert json.loads(line.removeprefix(b"data: ")) == VIEW


def test_another_name_is_refused_and_others_need_a_token(page: StationPage) -> None:
    assert get(page, "/", Host="evil.example")[0] == 421
    with pytest.raises(ConfigError, match="CSFLOW_SERVE_TOKEN"):
        StationPage("0.0.0.0:0", None, lambda: VIEW)
    guarded = StationPage("127.0.0.1:0", TOKEN, lambda: VIEW)
    try:
        assert get(guarded, "/events")[0] == 401
        assert get(guarded, "/events", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert get(guarded, f"/?token={TOKEN}")[0] == 303
    finally:
        guarded.close()
