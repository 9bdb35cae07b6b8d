"""Several cameras, one call of the engine: what goes into it, what each frame gets, and what one frame cannot spoil."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.errors import FrameError, InferenceError, SourceLost
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.summary import Tally
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.types import Frame, Prediction, Result, Verdict

RNG = np.random.default_rng(8)
POISON = 130
"""Grey level of a picture that `Batching` fails on where it is told to."""


def picture(grey: int = 51) -> NDArray[np.uint8]:
    return np.clip(grey + RNG.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)


class Batching(FakeEngine):
    """The fake engine for `batch` frames at a time; keeps what each call got."""

    def __init__(self, bundle: Bundle, batch: int, fails: Callable[[Sequence[Frame]], bool] = lambda _: False) -> None:
        super().__init__(bundle)
        self.batch = batch
        self.calls: list[list[str]] = []
        """Source of each frame, by call."""
        self._fails = fails

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        self.calls.append([frame.source.partition("#")[0] for frame in frames])
        if self._fails(frames):
            raise InferenceError("kernel failed")
        return super().infer(frames)


def detector(bundle: Bundle, engine: FakeEngine) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine, calibration)


def folders(*counts: int) -> list[FakeSource]:
    return [FakeSource([picture() for _ in range(n)], name=name) for name, n in zip("abcd", counts, strict=False)]


def poisoned(frames: Sequence[Frame]) -> bool:
    return any(abs(float(frame.image.mean()) - POISON) < 5 for frame in frames)


def test_what_waits_goes_in_one_call_one_frame_of_each_source(calibrated_bundle: Bundle) -> None:
    engine, sink = Batching(calibrated_bundle, 4), MemorySink()
    summary = run_stream(folders(2, 4, 3), detector(calibrated_bundle, engine), [sink])
    assert engine.calls == [["a", "b", "c"], ["a", "b", "c"], ["b", "c"], ["b"]]
    assert (summary.frames, summary.verdicts["OK"]) == (9, 9)
    for name, count in (("a", 2), ("b", 4), ("c", 3)):
        assert [r.frame_index for r in sink.results if r.camera == name] == list(range(count))


def test_a_batch_is_no_larger_than_the_engine_likes_and_the_turns_stay_fair(calibrated_bundle: Bundle) -> None:
    engine = Batching(calibrated_bundle, 2)
    run_stream(folders(2, 2, 2), detector(calibrated_bundle, engine), [])
    assert engine.calls == [["a", "b"], ["c", "a"], ["b", "c"]]


def test_an_engine_that_says_nothing_gets_one_frame_at_a_time(calibrated_bundle: Bundle) -> None:
    engine = Batching(calibrated_bundle, 1)
    del engine.batch
    inspection, sink = detector(calibrated_bundle, engine), MemorySink()
    assert inspection.batch == 1
    run_stream(folders(2, 2), inspection, [sink])
    assert engine.calls == [["a"], ["b"], ["a"], ["b"]]
    assert {r.batch for r in sink.results} == {1}


def test_of_one_camera_every_frame_goes_alone_however_many_wait(calibrated_bundle: Bundle) -> None:
    engine, shown = Batching(calibrated_bundle, 4), threading.Event()

    def camera() -> Iterator[Step]:
        yield from (picture() for _ in range(6))
        shown.set()

    class Held(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            assert shown.wait(30.0)
            super().write(result, frame)

    sink = Held()
    policy = StreamPolicy(depth=4)
    run_stream(FakeSource(camera(), live=True), detector(calibrated_bundle, engine), [sink], policy=policy)
    assert len(sink.results) >= 4
    assert {len(call) for call in engine.calls} == {1}


def test_no_camera_waits_for_a_frame_of_another(calibrated_bundle: Bundle) -> None:
    def endless() -> Iterator[Step]:
        while True:
            yield 0.001
            yield picture()

    engine, sink = Batching(calibrated_bundle, 2), MemorySink()
    cameras = [FakeSource(endless(), live=True, name="a"), FakeSource([None] * 1000, live=True, name="silent")]
    run_stream(cameras, detector(calibrated_bundle, engine), [sink], policy=StreamPolicy(max_results=8, silence_s=60.0))
    assert engine.calls == [["a"]] * 8


def test_what_shows_no_part_is_not_inferred_and_the_others_are(calibrated_bundle: Bundle) -> None:
    sources = [
        FakeSource([FrameError("torn", 0, "a")], name="a"),
        FakeSource([picture()[:, :, 0]], name="b"),
        FakeSource([np.zeros((64, 64, 3), np.uint8)], name="c"),
        FakeSource([picture()], name="d"),
    ]
    engine, sink = Batching(calibrated_bundle, 4), MemorySink()
    run_stream(sources, detector(calibrated_bundle, engine), [sink])
    assert engine.calls == [["d"]]
    assert {r.camera: (r.verdict.name, r.fault, r.batch) for r in sink.results} == {
        "a": ("ERROR", "frame", 0),
        "b": ("ERROR", "frame", 0),
        "c": ("ERROR", "black", 0),
        "d": ("OK", "", 1),
    }


def test_times_of_a_batch_are_those_of_the_whole_call(calibrated_bundle: Bundle) -> None:
    class Slow(Batching):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            time.sleep(0.02)
            return super().infer(frames)

    sink = MemorySink()
    run_stream(folders(1, 1, 1), detector(calibrated_bundle, Slow(calibrated_bundle, 3)), [sink])
    assert [r.batch for r in sink.results] == [3, 3, 3]
    assert len({r.infer_s for r in sink.results}) == 1
    for result in sink.results:
        assert result.infer_s >= 0.02
        assert result.age_s + result.prepare_s + result.infer_s <= result.latency_s


@pytest.mark.parametrize("deadline_s", [None, 30.0])
def test_a_frame_that_the_engine_fails_on_costs_no_other_camera_its_verdict(
    calibrated_bundle: Bundle, deadline_s: float | None
) -> None:
    engine, sink = Batching(calibrated_bundle, 3, poisoned), MemorySink()
    sources = [FakeSource([picture(grey)] * 4, name=name) for name, grey in (("a", 51), ("b", POISON), ("c", 204))]
    policy = StreamPolicy(deadline_s=deadline_s)
    run_stream(sources, detector(calibrated_bundle, engine), [sink], policy=policy)
    verdicts = {name: {r.verdict for r in sink.results if r.camera == name} for name in "abc"}
    assert verdicts == {"a": {Verdict.OK}, "b": {Verdict.ERROR}, "c": {Verdict.NOK}}
    assert {(r.fault, "kernel failed" in r.reason) for r in sink.results if r.camera == "b"} == {("engine", True)}
    assert engine.calls[:4] == [["a", "b", "c"], ["a"], ["b"], ["c"]]


def test_an_engine_that_fails_on_everything_ends_the_run_once_every_frame_has_its_result(
    calibrated_bundle: Bundle,
) -> None:
    engine, sink = Batching(calibrated_bundle, 4, lambda _: True), MemorySink()
    with pytest.raises(InferenceError, match="kernel failed"):
        run_stream(folders(9, 9, 9, 9), detector(calibrated_bundle, engine), [sink])
    assert [(r.camera, r.fault) for r in sink.results] == [(name, "engine") for name in "abcd"]


def test_each_frame_of_a_batch_has_its_own_deadline(calibrated_bundle: Bundle) -> None:
    told, limit_s = threading.Event(), 30.0

    class Gate(Batching):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            assert told.wait(30.0)
            return super().infer(frames)

    class Opens(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            told.set()

    engine, sink = Gate(calibrated_bundle, 2), Opens()
    old = Frame(picture(), 0, time.monotonic_ns() - int((limit_s - 0.5) * 1e9), "a")
    sources = [FakeSource([picture()], name="b"), FakeSource([old], name="a")]
    policy = StreamPolicy(deadline_s=limit_s, health=HealthLimits(max_age_s=0.0))
    run_stream(sources, detector(calibrated_bundle, engine), [sink], policy=policy)
    # The engine answers once the older frame has its result: that did not wait for the engine.
    assert [(r.camera, r.verdict, r.fault) for r in sink.results] == [
        ("a", Verdict.ERROR, "deadline"),
        ("b", Verdict.OK, ""),
    ]
    assert engine.calls == [["a", "b"]]


def test_a_frame_whose_deadline_passed_before_the_engine_was_free_is_not_inferred(calibrated_bundle: Bundle) -> None:
    past = Frame(picture(), 0, time.monotonic_ns() - 10**11, "a")
    sources = [FakeSource([past], name="a"), FakeSource([picture()], name="b")]
    engine, sink = Batching(calibrated_bundle, 2), MemorySink()
    run_stream(sources, detector(calibrated_bundle, engine), [sink], policy=StreamPolicy(deadline_s=60.0))
    assert [(r.camera, r.fault) for r in sink.results] == [("a", "deadline"), ("b", "")]
    assert engine.calls == [["b"]]


def test_the_limit_of_frames_cuts_a_batch_short(calibrated_bundle: Bundle) -> None:
    engine = Batching(calibrated_bundle, 3)
    summary = run_stream(folders(9, 9, 9), detector(calibrated_bundle, engine), [], policy=StreamPolicy(max_results=4))
    assert engine.calls == [["a", "b", "c"], ["a"]]
    assert summary.frames == 4


def test_frames_taken_before_another_source_broke_get_their_results(calibrated_bundle: Bundle) -> None:
    sources = [FakeSource([picture()] * 3, name="a"), FakeSource([SourceLost("gone")], name="b")]
    sink, tally = MemorySink(), Tally()
    with pytest.raises(SourceLost, match="gone"):
        run_stream(sources, detector(calibrated_bundle, Batching(calibrated_bundle, 4)), [sink], tally=tally)
    assert [(r.camera, r.verdict) for r in sink.results] == [("a", Verdict.OK)]
    assert tally.summary().frames == 1


def test_stopping_finishes_the_whole_batch_in_work(calibrated_bundle: Bundle) -> None:
    stop, sink = threading.Event(), MemorySink()

    class Stopper(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002
            stop.set()

    inspection = detector(calibrated_bundle, Batching(calibrated_bundle, 3))
    run_stream(folders(9, 9, 9), inspection, [Stopper(), sink], stop=stop)
    assert [r.camera for r in sink.results] == ["a", "b", "c"]


def test_frames_of_several_cameras_are_one_launch_on_a_gpu(
    calibrated_bundle: Bundle, fake_trt: ModuleType, stage: Callable[..., Any]
) -> None:
    scene, sink = stage(), MemorySink()
    bundle = fake_trt.with_graphs(calibrated_bundle, batch=(1, 2, 4))
    with TensorRTEngine(bundle, driver=scene.driver) as engine:
        calibration = load_calibration(bundle)
        assert calibration is not None
        del scene.driver.calls[:]
        run_stream(folders(2, 3, 2), Detector(bundle, engine, calibration), [sink])
        assert scene.driver.names().count("launch") == 3
        assert [r.batch for r in sink.results] == [3] * 6 + [1]
        assert {r.verdict for r in sink.results} == {Verdict.OK}
    assert scene.driver.lost == []
