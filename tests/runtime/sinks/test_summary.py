"""The summary: counts, gaps, and percentiles in constant memory."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.runtime.sinks.summary import Tally
from csflow.runtime.types import Result, Verdict


def result(index: int, latency_s: float = 0.1, verdict: Verdict = Verdict.OK) -> Result:
    empty = np.zeros((0, 0), dtype=np.float32)
    return Result(verdict, 1.0, 2.0, 0.5, empty, (-1, -1), "", index, 0, latency_s)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=300))
def test_percentiles_are_within_one_per_cent(latencies: list[float]) -> None:
    tally = Tally()
    for index, latency_s in enumerate(latencies):
        tally.add(result(index, latency_s))
    summary = tally.summary()
    ordered = sorted(latencies)
    for share, value in (
        (0.5, summary.latency_p50_s),
        (0.95, summary.latency_p95_s),
        (0.99, summary.latency_p99_s),
    ):
        assert value == pytest.approx(ordered[math.ceil(share * len(ordered)) - 1], rel=0.0101)
    assert summary.latency_max_s == max(latencies)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=50))
def test_gaps_in_the_index_are_counted_as_dropped(gaps: list[int]) -> None:
    tally, index = Tally(), -1
    for gap in gaps:
        index += 1 + gap
        tally.add(result(index))
    assert tally.summary().dropped == sum(gaps)


@pytest.mark.parametrize("latency_s", [0.0, 1e-12, 1e6])
def test_a_latency_beyond_the_bins_is_still_counted(latency_s: float) -> None:
    tally = Tally()
    tally.add(result(0, latency_s))
    assert tally.summary().latency_max_s == latency_s
    assert tally.summary().frames == 1


def test_a_summary_of_nothing_can_be_printed_and_written() -> None:
    summary = Tally().summary()
    assert "0 frames" in summary.text()
    assert json.loads(json.dumps(summary.to_mapping(), allow_nan=False))["latency_p50_s"] is None


def test_the_text_tells_verdicts_drops_and_latency() -> None:
    tally = Tally()
    tally.add(result(0))
    tally.add(result(3, verdict=Verdict.NOK))
    text = tally.summary().text()
    assert "2 frames" in text
    assert "2 dropped: 1 OK, 1 NOK" in text
    assert "p50 100" in text
