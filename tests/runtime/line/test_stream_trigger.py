"""Runs with a trigger: every request gets exactly one result, whatever happens to the camera or the engine."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import ConfigError, SourceError, SourceLost
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.trigger import Request
from csflow.runtime.triggers.fake import FakeTrigger
from csflow.runtime.triggers.fake import Step as FakeStep
from csflow.runtime.types import Frame, Prediction, Result, Verdict

from .playing import detector, endless, picture, run


def test_each_trigger_gets_one_result_with_its_id_and_a_frame_from_after_it(calibrated_bundle: Bundle) -> None:
    trigger = FakeTrigger(["a", "b", "c"])
    results, summary = run(calibrated_bundle, FakeSource(endless(), live=True), trigger)
    assert [r.trigger for r in results] == ["a", "b", "c"]
    assert all(r.verdict is Verdict.OK for r in results)
    assert all(result.captured_ns >= request.since_ns for request, result in trigger.answers)
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

    (result,), _ = run(calibrated_bundle, FakeSource(camera(), live=True), FakeTrigger(["x"]))
    assert (result.verdict, result.source) == (Verdict.OK, "fake#5")


class Obedient(FakeSource):
    """A camera that exposes when it is told to, and is silent else."""

    waits = True

    def __init__(self) -> None:
        super().__init__([], live=True)
        self.fired = 0
        self._exposed: queue.SimpleQueue[Frame] = queue.SimpleQueue()

    def fire(self) -> None:
        """Expose."""
        self.fired += 1
        self._exposed.put(Frame(picture(), self.fired, source="camera"))

    def read(self, timeout_s: float) -> Frame | None:
        """What was exposed."""
        try:
            return self._exposed.get(timeout=min(timeout_s, 0.01))
        except queue.Empty:
            return None


def test_a_camera_that_waits_exposes_once_a_request_and_its_silence_is_no_loss(calibrated_bundle: Bundle) -> None:
    camera = Obedient()
    patient = Reconnecting(lambda: camera, 0.05, source=camera)
    trigger = FakeTrigger(["a", 0.2, None, None, "b"])
    results, _ = run(calibrated_bundle, patient, trigger, silence_s=0.05)
    assert [(r.trigger, r.verdict) for r in results] == [("a", Verdict.OK), ("b", Verdict.OK)]
    assert camera.fired == 2
    assert all(result.captured_ns >= request.since_ns for request, result in trigger.answers)
    bare = Obedient()
    results, _ = run(calibrated_bundle, bare, FakeTrigger([0.2, None, None, "c"]), silence_s=0.05)
    assert [(r.trigger, r.verdict, bare.fired) for r in results] == [("c", Verdict.OK, 1)]


def test_a_stamp_of_the_cameras_clock_may_lie_before_the_request_by_its_error(calibrated_bundle: Bundle) -> None:
    now_ns = time.monotonic_ns()
    request = Request("a", now_ns)
    old = Frame(picture(204), 0, now_ns - 3000, "old", camera={"clock_error_ns": 2999})
    new = Frame(picture(), 1, now_ns - 3000, "new", camera={"clock_error_ns": 3000})
    (result,), _ = run(calibrated_bundle, FakeSource([old, new, *[None] * 1000], live=True), FakeTrigger([request]))
    assert result.source == "new"


def test_no_frame_in_time_is_an_error_with_that_reason(calibrated_bundle: Bundle) -> None:
    silent = FakeSource([None] * 10_000, live=True)
    results, summary = run(calibrated_bundle, silent, FakeTrigger(["a", "b"]), deadline_s=0.1, silence_s=60.0)
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

    class Plug(FakeTrigger):
        def answer(self, request: Request, result: Result) -> None:
            super().answer(request, result)
            if result.fault == "lost":
                plugged.set()
                time.sleep(0.5)

    # The one frame of the first life is older than the trigger.
    trigger = Plug(["a", "b"])
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
    trigger = FakeTrigger(["slow", "late", "fine"])
    trigger_answers = trigger.answers
    results, _ = run(calibrated_bundle, camera, trigger, deadline_s=0.4, engine=Slow(calibrated_bundle))
    assert (results[0].trigger, results[0].verdict, results[0].fault) == ("slow", Verdict.ERROR, "deadline")
    assert results[-1].verdict is Verdict.OK
    assert len(trigger_answers) == 3


def test_files_give_the_next_picture_to_each_trigger_and_their_end_is_told(calibrated_bundle: Bundle) -> None:
    folder = FakeSource([Frame(picture(), 0, 1), Frame(picture(204), 1, 2)])
    results, summary = run(calibrated_bundle, folder, FakeTrigger(["a", "b", "c", "d"]))
    assert [r.verdict.name for r in results] == ["OK", "NOK", "ERROR", "ERROR"]
    assert [r.fault for r in results[2:]] == ["stopped", "stopped"]
    assert summary.frames == 4


class Told(FakeTrigger):
    """Writes down what happens in which order, together with a sink."""

    def __init__(self, steps: Iterable[FakeStep], order: list[str]) -> None:
        super().__init__(steps)
        self.order = order

    def exposed(self, request: Request, frame: Frame) -> None:
        super().exposed(request, frame)
        self.order.append("exposed")

    def answer(self, request: Request, result: Result) -> None:
        super().answer(request, result)
        self.order.append("answered")


def test_the_asker_hears_of_the_picture_then_of_the_result_and_then_it_is_written(calibrated_bundle: Bundle) -> None:
    order: list[str] = []

    class Written(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            order.append("written")

    class Inferring(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            order.append("inferred")
            return super().infer(frames)

    trigger = Told(["a", "b"], order)
    camera = FakeSource(endless(), live=True)
    engine = Inferring(calibrated_bundle)
    policy = StreamPolicy(deadline_s=20.0)
    run_stream(camera, detector(calibrated_bundle, engine), [Written()], policy=policy, trigger=trigger)
    assert order == ["exposed", "inferred", "answered", "written"] * 2
    assert [(r.id, f.index) for r, f in trigger.exposures] == [(r.id, x.frame_index) for r, x in trigger.answers]


def test_without_a_picture_nothing_is_exposed(calibrated_bundle: Bundle) -> None:
    trigger = FakeTrigger(["a"])
    run(calibrated_bundle, FakeSource([None] * 10_000, live=True), trigger, deadline_s=0.05, silence_s=60.0)
    assert (trigger.exposures, len(trigger.answers)) == ([], 1)


def test_an_asker_that_is_gone_leaves_the_record(calibrated_bundle: Bundle) -> None:
    class Gone(FakeTrigger):
        def answer(self, request: Request, result: Result) -> None:  # noqa: ARG002
            raise SourceLost("the asker has left")

    sink = MemorySink()
    with pytest.raises(SourceLost, match="has left"):
        run_stream(FakeSource(endless(), live=True), detector(calibrated_bundle), [sink], trigger=Gone(["a"]))
    assert [r.trigger for r in sink.results] == ["a"]


def test_a_deadline_of_the_request_holds_instead_of_the_runs(calibrated_bundle: Bundle) -> None:
    silent = FakeSource([None] * 10_000, live=True)
    now_ns = time.monotonic_ns()
    requests = [Request("short", now_ns, deadline_s=0.05), Request("long", now_ns, deadline_s=0.3)]
    results, _ = run(calibrated_bundle, silent, FakeTrigger(requests), silence_s=60.0)
    assert [r.fault for r in results] == ["timeout"] * 2
    assert "within 50 ms of the trigger" in results[0].reason
    assert "within 300 ms of the trigger" in results[1].reason


def test_a_slow_engine_is_late_by_the_deadline_of_the_request(calibrated_bundle: Bundle) -> None:
    class Slow(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            time.sleep(0.4)
            return super().infer(frames)

    def asked() -> Iterator[Request]:
        yield Request("hurried", time.monotonic_ns(), deadline_s=0.1)
        time.sleep(0.5)
        yield Request("patient", time.monotonic_ns(), deadline_s=15.0)

    camera = FakeSource(endless(), live=True)
    results, _ = run(calibrated_bundle, camera, FakeTrigger(asked()), deadline_s=0.2, engine=Slow(calibrated_bundle))
    assert [(r.trigger, r.fault) for r in results] == [("hurried", "deadline"), ("patient", "")]
    assert "no verdict within 100 ms" in results[0].reason


def test_the_part_of_a_request_is_in_its_result(calibrated_bundle: Bundle) -> None:
    requests = [Request("1", time.monotonic_ns(), part="housing-12"), Request("2", time.monotonic_ns(), missed=True)]
    results, _ = run(calibrated_bundle, FakeSource(endless(), live=True), FakeTrigger(requests))
    assert [(r.trigger, r.part) for r in results] == [("1", "housing-12"), ("2", "")]


def test_triggers_ask_one_camera(calibrated_bundle: Bundle) -> None:
    sources, trigger = [FakeSource([]), FakeSource([])], FakeTrigger(["a"])
    with pytest.raises(ConfigError, match="exactly one with a trigger"):
        run(calibrated_bundle, sources, trigger)
    assert trigger.closed
    assert all(source.closed for source in sources)
