"""Requests and pictures that miss one another: no picture answers a request that it was not taken for."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import FrameError
from csflow.runtime.line.feed import Feed
from csflow.runtime.line.grabber import Grabber
from csflow.runtime.line.inspection import _kept_for_each
from csflow.runtime.line.owed import Owed
from csflow.runtime.line.stream import StreamPolicy
from csflow.runtime.source import open_source
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.trigger import Request
from csflow.runtime.triggers.fake import FakeTrigger
from csflow.runtime.triggers.pending import MAX_PENDING, PendingTrigger
from csflow.runtime.triggers.pipe import PipeTrigger
from csflow.runtime.types import Frame, Prediction, Result, Verdict

from .playing import picture, run


class Late(FakeSource):
    """A camera that exposes when it is told to; its n-th picture is numbered n, and the first comes when it may."""

    waits = True

    def __init__(self, first_may: threading.Event) -> None:
        super().__init__([], live=True)
        self._may = first_may
        self._exposed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.fired = 0

    def fire(self) -> None:
        """Expose."""
        self.fired += 1
        self._exposed.put(self.fired)

    def read(self, timeout_s: float) -> Frame | None:
        """What was exposed."""
        if self._may.wait(min(timeout_s, 0.005)) and not self._exposed.empty():
            return Frame(picture(), self._exposed.get(), source="camera")
        return None


class Answering(FakeTrigger):
    """Lets the first picture come once the first request has its answer."""

    may = threading.Event()

    def answer(self, request: Request, result: Result) -> None:
        """Take it."""
        super().answer(request, result)
        self.may.set()


def asked(*limits_s: float) -> Iterator[Request]:
    """Requests one right after the other, each with its deadline."""
    for number, limit_s in enumerate(limits_s, 1):
        yield Request(str(number), time.monotonic_ns(), deadline_s=limit_s)


def test_a_picture_that_comes_after_its_deadline_answers_no_later_request(calibrated_bundle: Bundle) -> None:
    trigger = Answering(asked(0.05, 20.0, 20.0))
    results, _ = run(calibrated_bundle, Late(trigger.may), trigger, silence_s=60.0)
    assert [(r.trigger, r.fault, r.frame_index) for r in results] == [("1", "timeout", -1), ("2", "", 2), ("3", "", 3)]


def test_one_that_never_comes_costs_the_next_request_its_deadline_at_most(calibrated_bundle: Bundle) -> None:
    camera = Late(threading.Event())
    results, _ = run(calibrated_bundle, camera, FakeTrigger(asked(0.1, 0.05, 0.02, 0.01)), silence_s=60.0)
    assert [r.fault for r in results] == ["timeout"] * 4
    assert "that of the trigger before may still come" in results[1].reason
    assert camera.fired < 4


def test_what_is_owed_is_paid_by_pictures_that_come_or_by_silence() -> None:
    owed, frame = Owed(), Frame(picture(), 0)
    assert not owed.takes(frame)
    owed.add()
    owed.add()
    assert owed.takes(FrameError("torn", 0, "camera", "truncated"))
    assert owed
    owed.forgive(1, 60.0)
    assert not owed
    owed.add()
    owed.forgive(0, 0.0)
    assert not owed
    owed.add()
    assert not owed.takes(FrameError("gone", 0, "camera", "lost"))
    owed.add()
    assert not owed.takes(Frame(picture(), 0, camera={"clock_error_ns": 5}))
    owed.add()
    assert not owed


def save(folder: Path, name: str, grey: int = 51) -> None:
    Image.fromarray(picture(grey)).save(folder / f".{name}", "PNG")
    (folder / f".{name}").rename(folder / name)


def test_a_picture_in_a_watched_folder_from_before_a_request_is_not_its_answer(
    calibrated_bundle: Bundle, tmp_path: Path
) -> None:
    save(tmp_path, "0.png")

    def requests() -> Iterator[Request | None]:
        save(tmp_path, "early.png", grey=204)
        yield None
        yield Request("1", time.monotonic_ns(), deadline_s=0.3)
        save(tmp_path, "late.png", grey=204)
        yield None
        time.sleep(0.01)
        request = Request("2", time.monotonic_ns(), deadline_s=20.0)
        save(tmp_path, "right.png")
        yield request

    source = open_source(f"watch:{tmp_path}?settle=0.02")
    results, _ = run(calibrated_bundle, source, FakeTrigger(requests()))
    assert [(r.trigger, r.fault, Path(r.source).name) for r in results[1:]] == [("2", "", "right.png")]
    assert results[0].fault == "timeout"
    assert "1 pictures from before it were left out" in results[0].reason
    assert results[1].frame_index == 2


def test_a_program_may_write_the_picture_and_ask_then(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    def requests() -> Iterator[Request | None]:
        for name in ("1", "2"):
            save(tmp_path, f"{name}.png")
            yield None
            yield Request(name, time.monotonic_ns(), deadline_s=20.0)

    source = open_source(f"watch:{tmp_path}?settle=0&early=30")
    results, _ = run(calibrated_bundle, source, FakeTrigger(requests()))
    assert [(r.trigger, Path(r.source).name) for r in results] == [("1", "1.png"), ("2", "2.png")]


def test_what_lay_in_a_watched_folder_at_the_start_is_given_out_one_by_one(
    calibrated_bundle: Bundle, tmp_path: Path
) -> None:
    for name in ("0.png", "1.png"):
        save(tmp_path, name)
    source = open_source(f"watch:{tmp_path}?settle=0&existing=1")
    results, _ = run(calibrated_bundle, source, FakeTrigger(["a", None, "b"]))
    assert [(r.trigger, Path(r.source).name) for r in results] == [("a", "0.png"), ("b", "1.png")]


def test_each_of_several_waiting_requests_gets_the_first_picture_after_it(calibrated_bundle: Bundle) -> None:
    class Busy(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            time.sleep(0.1)
            return super().infer(frames)

    policy = _kept_for_each(StreamPolicy(), PendingTrigger("stdin"))
    assert policy.depth == MAX_PENDING
    assert _kept_for_each(StreamPolicy(), None).depth == 1
    (theirs, to_us), (to_them, ours) = os.pipe(), os.pipe()
    with PipeTrigger(theirs, ours) as supervised:
        assert _kept_for_each(StreamPolicy(), supervised).depth == 1
    os.close(to_us)
    os.close(to_them)
    begun = threading.Event()

    def together() -> Iterator[Request]:
        now_ns = time.monotonic_ns()
        begun.set()
        yield from (Request(name, now_ns) for name in "ab")

    def camera() -> Iterator[Step]:
        begun.wait()
        yield from (picture() for _ in range(4))
        yield from [None] * 10_000

    source = FakeSource(camera(), live=True)
    engine = Busy(calibrated_bundle)
    results, _ = run(calibrated_bundle, source, FakeTrigger(together()), engine=engine, depth=policy.depth)
    assert [(r.verdict, r.frame_index) for r in results] == [(Verdict.OK, 0), (Verdict.OK, 1)]


def test_a_watched_folder_that_is_gone_while_nobody_asks_is_told_when_somebody_does(tmp_path: Path) -> None:
    folder = tmp_path / "lot"
    folder.mkdir()
    feed = Feed(open_source(f"watch:{folder}"), 60.0, 1, threading.Condition())
    folder.rmdir()
    feed.look()
    item = feed.poll()
    assert isinstance(item, FrameError)
    assert item.fault == "lost"


@pytest.mark.parametrize("limit", [1, 10**9])
def test_few_large_pictures_wait(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.line.grabber.WAITING_BYTES", limit)
    source = Grabber(FakeSource([picture()] * 3, live=True), depth=5)
    source._thread.join()
    with source:
        frames = [source.read(5.0) for _ in range(1 if limit == 1 else 3)]
    assert [frame and frame.index for frame in frames] == ([2] if limit == 1 else [0, 1, 2])
