"""Other runs on one page: what is passed on, what is not, and what is told when one does not answer."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.page.also import MOST_BYTES, OtherRun, OtherRuns
from csflow.runtime.page.facts import Beside
from csflow.runtime.types import Frame, Verdict

from .results import IMAGE, INFO, NOK, OK, TOKEN

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.page.also.PERIOD_S", 0.02)
    monkeypatch.setattr("csflow.runtime.page.pictures.TURNS_PER_S", 100.0)


def until(what: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + 60
    while not (got := what()):
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return got


def asked(run: OtherRun, what: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first of what is said of a run that `what` accepts."""

    def said() -> dict[str, Any] | None:
        now = run.watch(0)[1]
        return now if what(now) else None

    found: dict[str, Any] = until(said)
    return found


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def test_what_another_run_sees_is_on_the_page_with_its_pictures() -> None:
    with (
        PageSink("127.0.0.1:0", INFO) as other,
        PageSink("127.0.0.1:0", INFO, beside=Beside((f"line 2={other.url}",))) as page,
    ):
        other.write(OK, Frame(IMAGE))
        other.write(replace(NOK, part="housing-7"), Frame(IMAGE))

        def told() -> Any:
            with urllib.request.urlopen(f"{page.url}events", timeout=30) as events:
                while not (line := events.readline()).startswith(b"data: "):
                    assert line
            (line_2,) = json.loads(line[6:])["also"]
            return line_2 if line_2["rejects"] and len(line_2["shown"]) == 2 else None

        line_2 = until(told)
        assert (line_2["name"], line_2["gone"], line_2["rejects"][0]["part"]) == ("line 2", "", "housing-7")
        assert [(c["name"], c["results"]) for c in line_2["cameras"]] == [("cam", 1), ("cam2", 1)]
        for kind in ("raw", "overlay", "thumbnail"):
            assert get(f"{page.url}also/0/part/2/{kind}.jpg").startswith(b"\xff\xd8")
        for path in ("also/1/part/2/raw.jpg", "also/0/part/2/else.jpg", "also/0/part/99/raw.jpg", "also/0/state"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(page.url + path)


def test_parts_of_a_run_that_was_started_again_are_told_too() -> None:
    with PageSink("127.0.0.1:0", INFO) as first:
        first.write(NOK, None)
        address = first.url
        run = OtherRun(f"b={address}", None)
        asked(run, lambda said: said["rejects"])
        upto, _ = run.watch(0)
    with closing(run), PageSink(address.removeprefix("http://").rstrip("/"), INFO) as second:
        second.write(replace(NOK, part="again"), None)
        until(lambda: [part["part"] for part in run.watch(upto)[1]["rejects"]] == ["again"])


def test_a_run_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.page.also.GONE_S", 0.0)
    with PageSink("127.0.0.1:0", INFO) as other:
        run = OtherRun(f"b={other.url}", None)
        asked(run, lambda said: said["cameras"])
    with closing(run):
        said = asked(run, lambda said: said["gone"])
        assert said["gone"] == "Connection refused"
        assert [camera["name"] for camera in said["cameras"]] == ["cam", "cam2"]
        assert run.picture(1, "raw") == b""


def test_its_token_is_given_to_it() -> None:
    with PageSink("127.0.0.1:0", INFO, TOKEN) as other:
        for token, gone in ((None, "it answered 401 Unauthorized"), (TOKEN, "")):
            with closing(OtherRun(other.url, token)) as run:
                assert asked(run, lambda said, gone=gone: said["gone"] == gone and (gone or said["cameras"]))
                assert run.name == other.url.split("/")[2]


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


STATE = {
    "run": "0f",
    "distrust": "",
    "unsigned": False,
    "triggered": False,
    "cameras": [],
    "shown": [],
    "rejects": [],
    "outputs": [],
}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "not csflow's"),
        (b"[]", "not csflow's"),
        (json.dumps({**STATE, "run": "../x"}).encode(), "run is not"),
        (json.dumps({**STATE, "cameras": [1]}).encode(), "array of objects"),
        (b" " * (MOST_BYTES + 1), "too long"),
        (json.dumps({**STATE, "newer": 1}).encode(), ""),
    ],
)
def test_an_answer_is_what_the_page_knows_or_is_told(body: bytes, why: str) -> None:
    with answering(body) as url, closing(OtherRun(url, None)) as run:
        run.ask()
        said = run.watch(0)[1]
        assert why in said["gone"]
        assert (said["run"], "newer" in said) == ("0" if why else "0f", False)
        assert run.picture(1, "raw") == b""


def test_a_host_that_no_resolver_is_asked_for_is_told() -> None:
    with closing(OtherRun(f"http://{'a' * 64}:80", None)) as run:
        run.ask()
        assert "label" in run.watch(0)[1]["gone"]
        assert run.picture(1, "raw") == b""


@pytest.mark.parametrize(
    "texts",
    [
        ["b=10.0.0.2:8080"],
        ["b=ftp://10.0.0.2"],
        ["b=http://anna:secret@10.0.0.2"],
        ["b=http://10.0.0.2/path"],
        ["b=http://10.0.0.2/?token=1"],
        ["b=http://10.0.0.2:99999"],
        ["b=http://10.0.0.2", "b=http://10.0.0.3"],
        [f"{i}=http://10.0.0.2" for i in range(16)],
    ],
)
def test_what_is_no_other_run(texts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        OtherRuns(texts, None)
    assert "secret" not in str(caught.value)


def test_the_worst_of_all_runs_has_the_banner(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.page.also.GONE_S", 0.0)
    info = replace(INFO, cameras=("cam",))
    with PageSink("127.0.0.1:0", info) as third, PageSink("127.0.0.1:0", info) as second:
        also = Beside((f"line 2={second.url}", f"line 3={third.url}"))
        with PageSink("127.0.0.1:0", info, beside=also) as page:
            browser.open(page.url)
            for one in (page, second, third):
                one.write(OK, Frame(IMAGE))
            word = "document.getElementById('word').textContent"
            browser.wait(f"{word} === 'OK' && document.getElementById('score').textContent === '3 cameras'")
            second.write(replace(NOK, verdict=Verdict.NOK, camera="cam", part="housing-9"), Frame(IMAGE))
            browser.wait(f"{word} === 'NOK' && document.getElementById('score').textContent === 'line 2'")
            browser.wait("document.querySelectorAll('#rejects img[src]').length === 1")
            browser.value("document.querySelector('#rejects button').click()")
            browser.wait("document.getElementById('large-picture').naturalWidth === 64")
            browser.value("document.getElementById('close').click()")
            third.close()
            browser.wait(f"{word} === 'NO SIGNAL' && document.getElementById('score').textContent === 'line 3'")
            states = browser.value("[...document.querySelectorAll('.tile')].map(tile => tile.dataset.state)")
            assert states == ["OK", "NOK", "SIGNAL"]
