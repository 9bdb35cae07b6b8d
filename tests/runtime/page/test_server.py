"""The page over HTTP: what it answers, and to whom."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from csflow.runtime.errors import BackendUnavailable, SinkError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.page.sink import PageSink
from csflow.runtime.types import Frame

from .results import IMAGE, INFO, NOK, OK, TOKEN


def test_nothing_is_served_without_the_token() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    with PageSink("127.0.0.1:0", INFO, TOKEN) as page:
        page.write(NOK, Frame(IMAGE))
        for path in (
            "",
            "events",
            "metrics",
            "part/1/raw.jpg",
            "part/1/thumbnail.jpg",
            "main.js",
            "words/en.json",
            "none",
        ):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(page.url + path, timeout=30)
        request = urllib.request.Request(f"{page.url}metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


def test_a_name_that_points_here_from_elsewhere_gets_nothing() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    with PageSink("127.0.0.1:0", INFO) as page:
        connection = http.client.HTTPConnection(page.url.split("/")[2], timeout=30)
        connection.request("GET", "/events", headers={"Host": "evil.example"})
        assert connection.getresponse().status == 421
        connection.close()


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SinkError, match="cannot serve on"):
        PageSink(f"127.0.0.1:{taken.getsockname()[1]}", INFO)


def test_missing_libraries_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "csflow.runtime.page.server", None)
    with pytest.raises(BackendUnavailable, match=re.escape(pip_install("serve"))):
        PageSink("127.0.0.1:0", INFO)


def test_the_server_ends_with_its_watchers_still_connected() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    page = PageSink("127.0.0.1:0", INFO)
    with urllib.request.urlopen(f"{page.url}events", timeout=30) as events:
        assert events.readline() == b"retry: 1000\n"
        page.close()
        events.read()
    with pytest.raises(SinkError, match="closed"):
        page.write(OK, None)


def test_the_page_is_part_of_the_package() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    import csflow.runtime.page as package
    from csflow.runtime.page.server import ASSETS

    static = Path(str(package.__file__)).parent / "static"
    there = {str(p.relative_to(static)) for p in static.rglob("*") if p.is_file()}
    assert there == {"page.html", "token.html", "words/de.json", "words/en.json", *ASSETS}


def test_who_is_connected_and_asks_nothing_costs_nobody_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    web = pytest.importorskip("csflow.runtime.page.web", reason="the page needs csflow[serve]")
    monkeypatch.setattr(web, "SILENT_S", 0.1)
    with PageSink("127.0.0.1:0", INFO) as page, contextlib.ExitStack() as stack:
        events = stack.enter_context(urllib.request.urlopen(f"{page.url}events", timeout=30))
        port = int(page.url.rstrip("/").rpartition(":")[2])
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(64)]
        for one in silent[:9]:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0")
        for one in silent:
            one.settimeout(30.0)
            with contextlib.suppress(ConnectionResetError):
                while one.recv(4096):
                    pass
        with urllib.request.urlopen(f"{page.url}metrics", timeout=30) as answer:
            assert answer.status == 200
        assert events.readline() == b"retry: 1000\n"
        assert [events.readline()[:5] for _ in range(3)] == [b"\n", b"data:", b"\n"]
