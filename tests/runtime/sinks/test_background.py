"""The queue between the inspection and an output: what it promises whatever the output does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from csflow.runtime.errors import SinkError
from csflow.runtime.sink import ResultSink, TryAgain
from csflow.runtime.sinks.background import BackgroundSink
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.types import Frame, Result, Verdict

IMAGE = np.zeros((8, 8, 3), dtype=np.uint8)
NOK = Result(Verdict.NOK, 2.0, 1.0, 0.1, np.zeros((1, 1), np.float32), (0, 0), "why", 0, 0, 0.1, "cam")


def numbered(count: int) -> list[Result]:
    return [replace(NOK, frame_index=index) for index in range(count)]


class Gate(MemorySink):
    """Hangs in `write` until it is opened; raises the errors it was given, one a call."""

    def __init__(self, *errors: Exception, opened: bool = True) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.errors: Iterator[Exception] = iter(errors)
        self.frames: list[Frame | None] = []
        self.threads: set[int] = set()
        if opened:
            self.opened.set()

    def write(self, result: Result, frame: Frame | None) -> None:
        self.entered.set()
        self.threads.add(threading.get_ident())
        assert self.opened.wait(60.0)
        for error in self.errors:
            raise error
        super().write(result, frame)
        self.frames.append(frame)

    def indices(self) -> list[int]:
        return [result.frame_index for result in self.results]


def wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_results_arrive_in_order_in_another_thread_and_the_sink_is_closed() -> None:
    gate = Gate()
    with BackgroundSink(gate, "out") as sink:
        assert isinstance(sink, ResultSink)
        for result in numbered(100):
            sink.write(result, Frame(IMAGE))
    assert gate.indices() == list(range(100))
    assert gate.closed
    assert gate.threads.isdisjoint({threading.get_ident()})
    assert (sink.report().written, sink.report().waiting, sink.report().error) == (100, 0, "")


def test_a_sink_that_hangs_holds_nobody_up_and_the_oldest_are_dropped() -> None:
    gate = Gate(opened=False)
    sink = BackgroundSink(gate, "out", capacity=10)
    sink.write(NOK, None)
    assert gate.entered.wait(60.0)
    for result in numbered(1000):
        sink.write(result, None)
    assert (sink.report().dropped, sink.report().waiting) == (990, 11)
    gate.opened.set()
    sink.close()
    assert gate.indices() == [0, *range(990, 1000)]
    assert sink.report().written + sink.report().dropped == 1001


def test_a_sink_that_hangs_for_ever_is_left_behind_at_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.CLOSE_S", 0.05)
    gate = Gate(opened=False)
    sink = BackgroundSink(gate, "out", flush_s=0.05)
    for result in numbered(3):
        sink.write(result, None)
    assert gate.entered.wait(60.0)
    sink.close()
    sink.close()
    assert (sink.report().dropped, sink.report().waiting) == (3, 0)
    assert "did not answer" in sink.report().error
    gate.opened.set()
    wait_until(lambda: gate.closed)


@pytest.mark.parametrize("error", [SinkError("disk full"), RuntimeError("a bug")])
def test_a_failure_is_counted_and_told_and_the_next_result_is_tried(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(error, error)
    with caplog.at_level(logging.INFO, "csflow"), BackgroundSink(gate, "pictures") as sink:
        for result in numbered(5):
            sink.write(result, None)
    assert gate.indices() == [2, 3, 4]
    assert (sink.report().failed, sink.report().written, sink.report().error) == (2, 3, "")
    begin, end = [record.getMessage() for record in caplog.records]
    assert str(error) in begin
    assert "pictures works again; 2 results were lost" in end


def test_what_may_be_tried_again_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.PAUSES_S", (0.001, 0.002))
    gate = Gate(*[TryAgain("no broker")] * 5)
    sink = BackgroundSink(gate, "out")
    sink.write(NOK, None)
    wait_until(lambda: bool(gate.results))
    sink.close()
    assert (sink.report().written, sink.report().failed) == (1, 0)


def test_it_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.RETRY_S", 0.0)
    gate = Gate(TryAgain("no broker"))
    with BackgroundSink(gate, "out") as sink:
        for result in numbered(2):
            sink.write(result, None)
    assert (gate.indices(), sink.report().failed) == ([1], 1)


def test_closing_does_not_wait_for_what_will_not_come() -> None:
    gate = Gate(*[TryAgain("no broker")] * 1000)
    sink = BackgroundSink(gate, "out", flush_s=0.02)
    for result in numbered(5):
        sink.write(result, None)
    wait_until(lambda: sink.report().error != "")
    sink.close()
    report = sink.report()
    assert (report.written, report.failed + report.dropped, report.error) == (0, 5, "no broker")
    assert gate.closed


def test_files_wait_for_their_outputs() -> None:
    gate = Gate()
    with BackgroundSink(gate, "out", capacity=1, waits=True) as sink:
        for result in numbered(200):
            sink.write(result, None)
    assert gate.indices() == list(range(200))


def test_but_not_for_one_that_hangs_and_again_once_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.PATIENCE_S", 0.01)
    gate = Gate(opened=False)
    sink = BackgroundSink(gate, "out", capacity=1, waits=True)
    for result in numbered(100):
        sink.write(result, None)
    assert sink.report().dropped >= 98
    gate.opened.set()
    wait_until(lambda: sink.report().waiting == 0)
    monkeypatch.setattr("csflow.runtime.sinks.background.PATIENCE_S", 60.0)
    for result in numbered(50):
        sink.write(result, None)
    sink.close()
    assert gate.indices()[-50:] == list(range(50))


@pytest.mark.parametrize("ends", ["write", "close"])
def test_a_fatal_failure_reaches_whoever_writes_or_closes(ends: str) -> None:
    gate = Gate(SinkError("nobody reads"))
    sink = BackgroundSink(gate, "terminal", fatal=True)
    sink.write(NOK, None)
    wait_until(lambda: sink.report().failed == 1)
    with pytest.raises(SinkError, match="nobody reads"):
        sink.write(NOK, None) if ends == "write" else sink.close()
    sink.close()


@pytest.mark.parametrize("pictures", [False, True])
def test_only_those_who_want_pictures_hold_them(pictures: bool) -> None:
    gate, frame = Gate(), Frame(IMAGE)
    with BackgroundSink(gate, "out", pictures=pictures) as sink:
        sink.write(NOK, frame)
    assert gate.frames == [frame if pictures else None]


def test_pictures_that_wait_hold_no_more_memory_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.PICTURE_BYTES", 3 * IMAGE.nbytes)
    gate = Gate(opened=False)
    sink = BackgroundSink(gate, "out", pictures=True)
    small, double = Frame(IMAGE), Frame(np.zeros((16, 8, 3), np.uint8))
    of_16_bits = Frame(IMAGE, levels=np.zeros((8, 8, 3), np.uint16))
    frames = [small, small, small, double, of_16_bits]
    for result, frame in zip(numbered(5), frames, strict=True):
        sink.write(result, frame)
        assert gate.entered.wait(60.0), "the first is in hand, and waits no more"
        if frame is double:
            assert sink.report().dropped == 1
    gate.opened.set()
    sink.close()
    assert gate.indices() == [0, 4]


def test_a_closed_queue_refuses_results() -> None:
    sink = BackgroundSink(MemorySink(), "out")
    sink.close()
    with pytest.raises(SinkError, match="out is closed"):
        sink.write(NOK, None)


def test_a_failure_to_close_is_told() -> None:
    class Unconfirmed(MemorySink):
        def close(self) -> None:
            raise SinkError("the last 3 were not confirmed")

    sink = BackgroundSink(Unconfirmed(), "mqtt")
    sink.write(NOK, None)
    sink.close()
    assert sink.report().text() == "mqtt: 1 written (the last 3 were not confirmed)"
