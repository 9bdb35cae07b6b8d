"""Software triggers: every request gets exactly one result, whatever happens to the camera or the engine."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import ConfigError, EndOfStream, SourceError, SourceLost
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.summary import Summary
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.trigger import MAX_PENDING, HttpTrigger, LineTrigger, Request, open_trigger
from csflow.runtime.types import Frame, Prediction, Result, Verdict

RNG = np.random.default_rng(5)


def picture(grey: int = 51) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.clip(grey + RNG.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)


def endless(pause_s: float = 0.01) -> Iterator[Step]:
    while True:
        yield pause_s
        yield picture()


class Script:
    """A trigger that asks once for each name, each after the answer to the one before."""

    name = "script"

    def __init__(self, *names: str) -> None:
        self.left = list(names)
        self.answers: list[tuple[Request, Result]] = []
        self.closed = False

    def next(self, timeout_s: float) -> Request | None:  # noqa: ARG002
        if not self.left:
            raise EndOfStream
        return Request(self.left.pop(0), time.monotonic_ns())

    def answer(self, request: Request, result: Result) -> None:
        self.answers.append((request, result))

    def close(self) -> None:
        self.closed = True


def detector(bundle: Bundle, engine: FakeEngine | None = None) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine or FakeEngine(bundle), calibration)


def run(
    bundle: Bundle, source: Any, trigger: Any, deadline_s: float = 20.0, **more: Any
) -> tuple[list[Result], Summary]:
    sink = MemorySink()
    engine = more.pop("engine", None)
    policy = StreamPolicy(deadline_s=deadline_s)
    summary = run_stream(source, detector(bundle, engine), [sink], policy=policy, trigger=trigger, **more)
    return sink.results, summary


def test_each_trigger_gets_one_result_with_its_id_and_a_frame_from_after_it(calibrated_bundle: Bundle) -> None:
    trigger = Script("a", "b", "c")
    results, summary = run(calibrated_bundle, FakeSource(endless(), live=True), trigger)
    assert [r.trigger for r in results] == ["a", "b", "c"]
    assert all(r.verdict is Verdict.OK for r in results)
    assert all(result.captured_ns >= request.asked_ns for request, result in trigger.answers)
    assert (summary.frames, summary.dropped) == (3, 0)
    assert trigger.closed


def test_a_frame_from_before_the_trigger_is_never_its_answer(calibrated_bundle: Bundle) -> None:
    # C13: the camera gives frames exposed long before, then one from after the trigger.
    def camera() -> Iterator[Step]:
        for index in range(5):
            yield Frame(picture(204), index, time.monotonic_ns() - 10**10, "old")
        yield 0.05
        yield picture()
        yield from endless()

    (result,), _ = run(calibrated_bundle, FakeSource(camera(), live=True), Script("x"))
    assert (result.verdict, result.source) == (Verdict.OK, "fake#5")


def test_no_frame_in_time_is_an_error_with_that_reason(calibrated_bundle: Bundle) -> None:
    silent = FakeSource([None] * 10_000, live=True)
    results, summary = run(calibrated_bundle, silent, Script("a", "b"), deadline_s=0.1, silence_s=60.0)
    assert [(r.verdict, r.fault) for r in results] == [(Verdict.ERROR, "timeout")] * 2
    assert "no frame within 100 ms of the trigger" in results[0].reason
    assert summary.faults == {"timeout": 2}


def test_a_lost_camera_answers_at_once_and_is_used_again_when_it_is_back(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.sources.reconnect.BACKOFF_S", (0.01, 0.02))
    plugged = threading.Event()
    lives = iter([[Frame(picture(), 0), SourceLost("camera: cable")]])

    def opener() -> FakeSource:
        life = next(lives, None)
        if life is None and not plugged.is_set():
            raise SourceError("camera: cable")
        return FakeSource(life or endless(), live=True, name="camera")

    class Plug(Script):
        def answer(self, request: Request, result: Result) -> None:
            super().answer(request, result)
            if result.fault == "lost":
                plugged.set()
                time.sleep(0.5)

    # The one frame of the first life is older than the trigger.
    trigger = Plug("a", "b")
    source = Reconnecting(opener, 60.0)
    time.sleep(0.05)
    results, summary = run(calibrated_bundle, source, trigger, silence_s=60.0)
    assert [(r.trigger, r.verdict.name, r.fault) for r in results] == [("a", "ERROR", "lost"), ("b", "OK", "")]
    assert "cable" in results[0].reason
    assert summary.reconnects == 1


def test_an_engine_that_is_too_late_gives_an_error_on_time_and_never_ok_afterwards(calibrated_bundle: Bundle) -> None:
    class Slow(FakeEngine):
        calls = 0

        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            self.calls += 1
            if self.calls == 1:
                time.sleep(0.6)
            return super().infer(frames)

    camera = FakeSource(endless(), live=True)
    trigger = Script("slow", "late", "fine")
    trigger_answers = trigger.answers
    results, _ = run(calibrated_bundle, camera, trigger, deadline_s=0.4, engine=Slow(calibrated_bundle))
    assert (results[0].trigger, results[0].verdict, results[0].fault) == ("slow", Verdict.ERROR, "deadline")
    assert results[-1].verdict is Verdict.OK
    assert len(trigger_answers) == 3


def test_files_give_the_next_picture_to_each_trigger_and_their_end_is_told(calibrated_bundle: Bundle) -> None:
    folder = FakeSource([Frame(picture(), 0, 1), Frame(picture(204), 1, 2)])
    results, summary = run(calibrated_bundle, folder, Script("a", "b", "c", "d"))
    assert [r.verdict.name for r in results] == ["OK", "NOK", "ERROR", "ERROR"]
    assert [r.fault for r in results[2:]] == ["stopped", "stopped"]
    assert summary.frames == 4


def test_triggers_ask_one_camera(calibrated_bundle: Bundle) -> None:
    sources, trigger = [FakeSource([]), FakeSource([])], Script("a")
    with pytest.raises(ConfigError, match="exactly one with a trigger"):
        run(calibrated_bundle, sources, trigger)
    assert trigger.closed
    assert all(source.closed for source in sources)


# Lines on standard input


def test_a_line_is_a_request_and_an_empty_one_gets_a_number() -> None:
    trigger = LineTrigger(io.BytesIO(b"part-7\n\n\x1bx\xff\n" + b"y" * 99))
    requests = [trigger.next(5.0) for _ in range(4)]
    with pytest.raises(EndOfStream):
        trigger.next(5.0)
    assert [r.id for r in requests if r] == ["part-7", "2", "?x�", "y" * 64]


def test_requests_beyond_the_limit_are_answered_as_missed(calibrated_bundle: Bundle) -> None:
    count = MAX_PENDING + 4
    trigger = LineTrigger(io.BytesIO(b"x\n" * count))
    while trigger._pending._queue.qsize() <= count:
        time.sleep(0.005)
    results, summary = run(calibrated_bundle, FakeSource(endless(), live=True), trigger)
    assert len(results) == count
    assert [r.fault for r in results] == [""] * MAX_PENDING + ["missed"] * 4
    assert summary.faults == {"missed": 4}


def test_requests_that_wait_at_the_end_get_their_result(calibrated_bundle: Bundle) -> None:
    trigger = LineTrigger(io.BytesIO(b"a\nb\nc\n"))
    results, _ = run(calibrated_bundle, FakeSource(endless(), live=True), trigger, max_frames=1)
    assert [(r.trigger, r.fault) for r in results] == [("a", ""), ("b", "stopped"), ("c", "stopped")]


def test_a_pipe_gives_its_lines_as_they_come(calibrated_bundle: Bundle) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as lines, os.fdopen(writing, "wb", buffering=0) as plc:

        class Asks(MemorySink):
            def write(self, result: Result, frame: Frame | None) -> None:
                super().write(result, frame)
                plc.write(b"second\n") if result.trigger == "first" else plc.close()

        plc.write(b"first\n")
        sink = Asks()
        camera = FakeSource(endless(), live=True)
        policy = StreamPolicy(deadline_s=20.0)
        run_stream(camera, detector(calibrated_bundle), [sink], policy=policy, trigger=LineTrigger(lines))
    assert [r.trigger for r in sink.results] == ["first", "second"]


# HTTP


def post(trigger: HttpTrigger, query: str = "", **headers: str) -> dict[str, Any]:
    request = urllib.request.Request(trigger.name + query, data=b"", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        record: dict[str, Any] = json.load(answer)
    return record


def test_a_request_over_http_is_answered_with_its_result(calibrated_bundle: Bundle) -> None:
    trigger, stop = HttpTrigger("127.0.0.1", 0), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        camera = FakeSource(endless(), live=True)
        running = pool.submit(run, calibrated_bundle, camera, trigger, stop=stop)
        try:
            with ThreadPoolExecutor(4) as clients:
                records = list(clients.map(lambda i: post(trigger, f"?id=part-{i}"), range(8)))
            with pytest.raises(urllib.error.HTTPError, match="404"):
                post(trigger, "?id=evil", Origin="https://elsewhere")
        finally:
            stop.set()
        results, _ = running.result()
    assert [r["trigger"] for r in records] == [f"part-{i}" for i in range(8)]
    assert {r["verdict"] for r in records} == {"OK"}
    assert sorted(r.trigger for r in results) == sorted(r["trigger"] for r in records)


@pytest.mark.parametrize("text", ["gpio", "http://127.0.0.1", "https://127.0.0.1:1", "http://127.0.0.1:99999", ""])
def test_what_is_no_trigger_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected stdin, http"):
        open_trigger(text)


def test_http_is_for_this_machine_alone_and_a_taken_port_is_told() -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        open_trigger("http://0.0.0.0:8500")
    first = open_trigger("http://127.0.0.1:0")
    assert isinstance(first, HttpTrigger)
    with pytest.raises(ConfigError, match="choose another port"):
        open_trigger(f"http://127.0.0.1:{first.port}")
    first.close()
