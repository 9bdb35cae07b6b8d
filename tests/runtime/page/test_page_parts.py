"""What the page is made of, without a browser: who may see it, what it counts, which pictures are drawn, metrics."""

from __future__ import annotations

import http.client
import math
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.errors import BackendUnavailable, ConfigError, SinkError
from csflow.runtime.page.access import Access, Address
from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.sink import PageSink
from csflow.runtime.page.state import LiveState, PageInfo
from csflow.runtime.sink import OutputReport
from csflow.runtime.types import Frame, Result, Verdict

TOKEN = "0123456789abcdef-"
INFO = PageInfo("model.csflow", "fake", 0.8, 1.0, ("cam", "cam2"))
IMAGE = np.full((64, 64, 3), 120, dtype=np.uint8)
OK = Result(Verdict.OK, 0.5, 1.0, 0.4, np.zeros((2, 2), np.float32), (0, 0), "", 0, 0, 0.012, "cam#0", "cam")
NOK = replace(OK, verdict=Verdict.NOK, score=2.5, source="cam2#0", camera="cam2")
ERROR = replace(OK, verdict=Verdict.ERROR, score=math.nan, reason="unplugged", frame_index=3)


# Who may see it


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("8080", "127.0.0.1", 8080, True),
        ("localhost:80", "localhost", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("127.1.2.3:1", "127.1.2.3", 1, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("[::]:8080", "::", 8080, False),
        ("192.168.1.7:8080", "192.168.1.7", 8080, False),
        ("line1.example:8080", "line1.example", 8080, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "host:99999", ":80", "a b:80", "http://x:80", "::1:80"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("token", [None, "short", "with space and more", "ümlaut-and-more-letters"])
def test_other_machines_need_a_token_worth_the_name(token: str | None) -> None:
    with pytest.raises(ConfigError, match="token"):
        Access(Address.parse("0.0.0.0:8080"), token)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1:8080", True), ("localhost:1", True), ("[::1]:8080", True), ("evil.example", False), ("", False)],
)
def test_without_a_token_only_loopback_names_are_answered(host: str, allowed: bool) -> None:
    assert Access(Address.parse("8080"), None).allows({"host": host}) is allowed


@pytest.mark.parametrize(
    ("headers", "query", "allowed"),
    [
        ({}, f"token={TOKEN}", True),
        ({"authorization": f"Bearer {TOKEN}"}, "", True),
        ({"cookie": f"other=1; csflow_8080={TOKEN}"}, "", True),
        ({}, "", False),
        ({}, "token=", False),
        ({}, f"token={TOKEN}x", False),
        ({"authorization": f"Basic {TOKEN}"}, "", False),
        ({"authorization": "Bearer \xff"}, "", False),
        ({"cookie": f"csflow_8081={TOKEN}"}, "", False),
        ({"cookie": "csflow_8080="}, "", False),
        ({"host": "localhost"}, "", False),
    ],
)
def test_with_a_token_the_token_alone_decides(headers: dict[str, str], query: str, allowed: bool) -> None:
    assert Access(Address.parse("0.0.0.0:8080"), TOKEN).allows(headers, query) is allowed


def test_nothing_is_served_without_the_token() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    with PageSink("127.0.0.1:0", INFO, TOKEN) as page:
        page.write(NOK, Frame(IMAGE))
        for path in ("", "events", "metrics", "frame/1.jpg", "reject/1.jpg", "thumbnail/1.jpg", "page.js", "none"):
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
    with pytest.raises(BackendUnavailable, match=r"csflow\[serve\]"):
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


# What it counts


def test_the_snapshot_has_counts_scores_and_the_state_of_each_camera() -> None:
    state = LiveState(INFO)
    for result in (OK, NOK, ERROR):
        state.add(result, Frame(IMAGE))
    shown = state.newest()
    got = state.snapshot(shown, since=1)
    assert got["counts"] == {"OK": 1, "NOK": 1, "UNCERTAIN": 0, "ERROR": 1}
    assert got["dropped"] == 2
    assert got["scores"] == [(2, 2.5, "NOK"), (3, None, "ERROR")]
    assert got["shown"]["reason"] == "unplugged"
    assert [(c["name"], c["state"], c["results"], c["errors"]) for c in got["cameras"]] == (
        [("cam", "error", 2, 1), ("cam2", "ok", 1, 0)]
    )


def test_a_camera_without_results_is_silent_not_ok() -> None:
    assert [c["state"] for c in LiveState(INFO).snapshot(None, 0)["cameras"]] == ["silent", "silent"]


def test_memory_does_not_grow_with_the_run() -> None:
    state = LiveState(INFO)
    for index in range(2000):
        state.add(replace(NOK, frame_index=index), Frame(IMAGE))
    assert len(state.snapshot(None, 0)["scores"]) == 300
    assert len(state.take_rejects()) == 12
    assert state.take_rejects() == []


# Pictures


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawing thread waits; the test takes its turns."""
    monkeypatch.setattr("csflow.runtime.page.pictures.FRAMES_PER_S", 1e-3)


@pytest.mark.usefixtures("still")
def test_the_newest_frame_is_drawn_only_while_someone_watches() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    state.add(OK, Frame(IMAGE))
    pictures.turn()
    assert pictures.frame(1) == b""
    pictures.watch()
    pictures.turn()
    assert pictures.frame(1).startswith(b"\xff\xd8")
    shown = pictures.watch()
    assert shown is not None
    assert shown.number == 1
    pictures.close()


@pytest.mark.usefixtures("still")
def test_rejects_are_kept_without_their_camera_pictures_newest_first() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    for index in range(15):
        state.add(replace(NOK, frame_index=index), Frame(IMAGE))
        pictures.turn()
    state.add(ERROR, None)
    pictures.turn()
    rejects = pictures.rejects()
    assert [r.seen.number for r in rejects] == list(range(16, 4, -1))
    assert all(r.seen.frame is None for r in rejects)
    assert [r.to_mapping()["picture"] for r in rejects[:2]] == [False, True]
    pictures.close()


@pytest.mark.usefixtures("still")
def test_an_odd_picture_is_no_picture() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    state.add(replace(ERROR, anomaly_map=OK.anomaly_map), Frame(IMAGE[:, :, 0].astype(np.complex64)))  # type: ignore[arg-type]
    pictures.watch()
    pictures.turn()
    assert (pictures.frame(1), pictures.rejects()[0].sheet) == (b"", b"")
    pictures.close()


# Metrics


def test_metrics_are_what_prometheus_reads() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    from prometheus_client.parser import text_string_to_metric_families

    from csflow.runtime.page.metrics import Metrics

    report = OutputReport("mqtt", 5, 1, 2, 0, "")
    state = LiveState(INFO, lambda: [report])
    for result in (OK, NOK, ERROR):
        state.add(result, None)
    families = text_string_to_metric_families(Metrics(state).text().decode())
    samples = {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}
    assert samples[("csflow_results_total", "NOK")] == 1
    assert samples[("csflow_camera_errors_total", "cam")] == 1
    assert samples[("csflow_frames_dropped_total",)] == 2
    assert samples[("csflow_output_results_total", "dropped", "mqtt")] == 2
    assert [samples[("csflow_latency_seconds_bucket", bound)] for bound in ("0.01", "0.025", "+Inf")] == [0, 3, 3]
    assert samples[("csflow_latency_seconds_sum",)] == pytest.approx(0.036)
    assert samples[("csflow_latency_seconds_count",)] == 3
    assert samples[("csflow_threshold", "reject")] == 1.0
    assert math.isnan(samples[("csflow_score",)])
    assert samples[("csflow_last_result_timestamp_seconds",)] == pytest.approx(ERROR.captured_unix_ns / 1e9, abs=1e-3)
    assert samples[("csflow_camera_last_result_timestamp_seconds", "cam2")] == NOK.captured_unix_ns / 1e9
    assert (samples[("csflow_engine_verified",)], samples[("csflow_unverified_results_total",)]) == (1, 0)


def sample(state: LiveState, name: str) -> dict[str, float]:
    """The samples of a metric by their label."""
    from prometheus_client.parser import text_string_to_metric_families

    from csflow.runtime.page.metrics import Metrics

    families = text_string_to_metric_families(Metrics(state).text().decode())
    return {"".join(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}


def test_an_alert_on_silence_and_on_an_absent_camera_is_possible() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    absent: set[str] = set()
    state = LiveState(INFO, absent=lambda: absent)
    assert sample(state, "csflow_last_result_timestamp_seconds") == {}
    state.add(replace(OK, captured_unix_ns=1_790_000_000 * 10**9), None)
    assert sample(state, "csflow_last_result_timestamp_seconds") == {"": 1_790_000_000}
    assert sample(state, "csflow_camera_up") == {"cam": 1, "cam2": 1}
    state.add(replace(ERROR, fault="lost", camera="cam2"), None)
    assert sample(state, "csflow_camera_up") == {"cam": 1, "cam2": 0}
    absent.add("cam")
    assert sample(state, "csflow_camera_up") == {"cam": 0, "cam2": 0}
    assert [c["state"] for c in state.snapshot(None, 0)["cameras"]] == ["error", "error"]


def test_an_engine_that_is_not_verified_shows_in_metrics_and_on_the_page() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    state = LiveState(replace(INFO, distrust="engine fake is not verified"))
    state.add(replace(OK, verified=False), None)
    assert sample(state, "csflow_engine_verified") == {"": 0}
    assert sample(state, "csflow_unverified_results_total") == {"": 1}
    got = state.snapshot(state.newest(), 0)
    assert (got["distrust"], got["shown"]["verified"]) == ("engine fake is not verified", False)


UNITS = re.compile(r"_(s|ms|us|ns|sec|secs|second|minutes?|hours?|kb|mb|gb|percent)(_|$)")


def test_metrics_keep_the_rules_of_promtool() -> None:
    # promtool check metrics (promlint): help texts, suffixes by type, labels of histograms alone, base units.
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    from csflow.runtime.page.metrics import Metrics

    state = LiveState(INFO, lambda: [OutputReport("mqtt", 5, 1, 2, 0, "")])
    for result in (OK, NOK, ERROR):
        state.add(result, None)
    text = Metrics(state).text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helped = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    assert set(kinds) == set(helped)
    for name, kind in kinds.items():
        assert re.fullmatch("[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(count|sum|bucket|gauge|counter|histogram|summary)$", name)
        assert not UNITS.search(name)
    quantiles = re.findall(r'^(\w+)\{[^}]*quantile="', text, re.MULTILINE)
    assert quantiles == []
    bounds = {
        name for name, labels in re.findall(r"^(\w+)\{([^}]*)\}", text, re.MULTILINE) if re.search('(^|,)le="', labels)
    }
    assert {name.removesuffix("_bucket") for name in bounds} == {n for n, kind in kinds.items() if kind == "histogram"}


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_itself_finds_nothing() -> None:
    from csflow.runtime.page.metrics import Metrics

    state = LiveState(INFO, lambda: [OutputReport("mqtt", 5, 1, 2, 0, "")])
    state.add(NOK, None)
    assert PROMTOOL is not None
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=Metrics(state).text(), capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_page_is_part_of_the_package() -> None:
    import csflow.runtime.page as package

    static = Path(str(package.__file__)).parent / "static"
    assert {p.name for p in static.iterdir()} == {"page.html", "page.css", "page.js", "token.html"}
