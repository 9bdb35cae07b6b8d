"""Runs with askers that are real: lines on standard input, and requests over HTTP."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.triggers.http import HttpTrigger
from csflow.runtime.triggers.lines import LineTrigger
from csflow.runtime.triggers.pending import MAX_PENDING
from csflow.runtime.types import Frame, Result

from ..asked import given  # noqa: TID252 - tests are no package that could be named
from .playing import detector, endless, run


def test_requests_beyond_the_limit_are_answered_as_missed(calibrated_bundle: Bundle, pipe: tuple[int, int]) -> None:
    count = MAX_PENDING + 4
    trigger = given(pipe, b"x\n" * count)
    while len(trigger._pending) < count:
        time.sleep(0.005)
    results, summary = run(calibrated_bundle, FakeSource(endless(), live=True), trigger)
    assert len(results) == count
    assert [r.fault for r in results] == [""] * MAX_PENDING + ["missed"] * 4
    assert summary.faults == {"missed": 4}


def test_requests_that_wait_at_the_end_get_their_result(calibrated_bundle: Bundle, pipe: tuple[int, int]) -> None:
    trigger = given(pipe, b"a\nb\nc\n")
    results, _ = run(calibrated_bundle, FakeSource(endless(), live=True), trigger, max_results=1)
    assert [(r.trigger, r.fault) for r in results] == [("a", ""), ("b", "stopped"), ("c", "stopped")]


def test_a_pipe_gives_its_lines_as_they_come(calibrated_bundle: Bundle, pipe: tuple[int, int]) -> None:
    class Asks(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            os.write(pipe[1], b"second\n") if result.trigger == "first" else os.close(pipe[1])

    os.write(pipe[1], b"first\n")
    sink, camera = Asks(), FakeSource(endless(), live=True)
    policy = StreamPolicy(deadline_s=20.0)
    run_stream(camera, detector(calibrated_bundle), [sink], policy=policy, trigger=LineTrigger(pipe[0]))
    assert [r.trigger for r in sink.results] == ["first", "second"]


def post(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, b"", timeout=30) as answer:
        record: dict[str, Any] = json.load(answer)
    return record


def test_a_request_over_http_is_answered_with_its_result(calibrated_bundle: Bundle) -> None:
    trigger, stop = HttpTrigger("127.0.0.1", 0), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        camera = FakeSource(endless(), live=True)
        running = pool.submit(run, calibrated_bundle, camera, trigger, stop=stop)
        try:
            with ThreadPoolExecutor(4) as clients:
                records = list(clients.map(lambda i: post(f"{trigger.name}?id=part-{i}"), range(8)))
        finally:
            stop.set()
        results, _ = running.result()
    assert [r["trigger"] for r in records] == [f"part-{i}" for i in range(8)]
    assert {r["verdict"] for r in records} == {"OK"}
    assert sorted(r.trigger for r in results) == sorted(r["trigger"] for r in records)
