"""Metrics as Prometheus reads them."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from csflow.runtime.page.state import LiveState
from csflow.runtime.sink import OutputReport

from .results import ERROR, INFO, NOK, OK


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
    assert [c["state"] for c in state.snapshot([], 0)["cameras"]] == ["lost", "lost"]


def test_an_engine_that_is_not_verified_shows_in_metrics_and_on_the_page() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    state = LiveState(replace(INFO, distrust="engine fake is not verified"))
    state.add(replace(OK, verified=False), None)
    assert sample(state, "csflow_engine_verified") == {"": 0}
    assert sample(state, "csflow_unverified_results_total") == {"": 1}
    got = state.snapshot(state.newest_of_each(), 0)
    assert (got["distrust"], got["shown"][0]["verified"]) == ("engine fake is not verified", False)


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


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    from csflow.runtime.page.metrics import Metrics

    state = LiveState(INFO, lambda: [OutputReport("mqtt", 5, 1, 2, 0, "")])
    for result in (OK, NOK, ERROR):
        state.add(result, None)
    served: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{([^}]*)\})? ", Metrics(state).text().decode(), re.MULTILINE):
        served.setdefault(name, {"job", "instance"}).update(re.findall(r'(\w+)="', labels))
    dashboard = json.loads((Path(__file__).parents[3] / "docs" / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [one["query"] for one in dashboard["templating"]["list"]]
    found = [match for text in asked for match in re.findall(r"(csflow_\w+)(?:\{([^}]*)\})?", text)]
    assert len({name for name, _ in found}) > 10
    for name, labels in found:
        assert name in served
        assert set(re.findall(r"(\w+)[=!]", labels)) <= served[name]
    grouped = {label.strip() for text in asked for by in re.findall(r"by \(([^)]*)\)", text) for label in by.split(",")}
    assert grouped <= set.union(*served.values())


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


def test_what_the_window_cuts_off_the_newest_picture_is_a_gauge_where_there_is_a_window() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    state = LiveState(INFO)
    state.add(OK, None)
    assert sample(state, "csflow_clipped_share") == {}
    state.add(replace(OK, clipped=(0.25, 0.5)), None)
    assert sample(state, "csflow_clipped_share") == {"below": 0.25, "above": 0.5}


def test_names_that_are_not_unicode_cost_no_metric() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need csflow[serve]")
    from csflow.runtime.page.metrics import Metrics

    odd = "caf\udce9"
    state = LiveState(replace(INFO, bundle=odd, cameras=(odd,)), lambda: [OutputReport(odd, 1, 0, 0, 0, "")])
    state.add(replace(OK, camera=odd), None)
    text = Metrics(state).text().decode()
    assert 'csflow_camera_results_total{camera="caf\\\\xe9"} 1.0' in text
    assert text.count('"caf\\\\xe9"') == 8
