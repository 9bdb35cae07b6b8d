"""Several cameras, bounded queues and deadlines: who gets which turn, and what a late answer is worth."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import InferenceError
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.types import Frame, Prediction, Result, Verdict

RNG = np.random.default_rng(7)


def picture(grey: int = 51) -> NDArray[np.uint8]:
    return np.clip(grey + RNG.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)


def detector(bundle: Bundle, engine: FakeEngine | None = None) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine or FakeEngine(bundle), calibration)


def endless(pause_s: float = 0.001) -> Iterator[Step]:
    while True:
        yield pause_s
        yield picture()


class Gate(FakeEngine):
    """Holds its first call until it is opened."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.opened = threading.Event()

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        assert self.opened.wait(30.0)
        return super().infer(frames)


def test_a_bounded_queue_keeps_the_last_frames_in_order_and_counts_the_rest(calibrated_bundle: Bundle) -> None:
    engine, sink = Gate(calibrated_bundle), MemorySink()

    def camera() -> Iterator[Step]:
        yield from (picture() for _ in range(20))
        engine.opened.set()

    source = FakeSource(camera(), live=True)
    summary = run_stream(source, detector(calibrated_bundle, engine), [sink], policy=StreamPolicy(depth=4))
    indices = [r.frame_index for r in sink.results]
    assert indices[-4:] == [16, 17, 18, 19]
    assert indices == sorted(indices)
    assert summary.frames + summary.dropped == 20
    assert 4 <= summary.frames <= 5


def test_cameras_take_turns_however_fast_one_of_them_is(calibrated_bundle: Bundle) -> None:
    class Slow(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            time.sleep(0.02)
            return super().infer(frames)

    sink = MemorySink()
    cameras = [FakeSource(endless(), live=True, name=name) for name in ("a", "b", "c")]
    run_stream(
        cameras, detector(calibrated_bundle, Slow(calibrated_bundle)), [sink], policy=StreamPolicy(max_results=31)
    )
    turns = [r.camera for r in sink.results]
    # Whoever has a frame waiting is served before anybody is served twice; the first turns may find one camera alone.
    settled = turns[4:]
    assert all(len(set(settled[i : i + 3])) == 3 for i in range(0, len(settled) - 3, 3))


def test_folders_take_turns_too_and_each_is_read_to_its_end(calibrated_bundle: Bundle) -> None:
    sink = MemorySink()
    folders = [FakeSource([picture()] * count, name=name) for name, count in (("a", 2), ("b", 4))]
    summary = run_stream(folders, detector(calibrated_bundle), [sink])
    assert [r.camera for r in sink.results] == ["a", "b", "a", "b", "b", "b"]
    assert (summary.frames, summary.dropped) == (6, 0)
    assert all(folder.closed for folder in folders)


def test_drops_are_counted_for_each_camera_by_itself(calibrated_bundle: Bundle) -> None:
    frames = {name: [Frame(picture(), i, i + 1) for i in indices] for name, indices in (("a", (0, 5)), ("b", (2, 3)))}
    summary = run_stream([FakeSource(f, name=n) for n, f in frames.items()], detector(calibrated_bundle), [])
    assert summary.dropped == 4 + 2


def test_a_camera_that_fails_one_frame_does_not_disturb_the_other(calibrated_bundle: Bundle) -> None:
    sink = MemorySink()
    wrong = FakeSource([picture()[:, :, 0]] * 3, name="wrong")
    fine = FakeSource([picture()] * 3, name="fine")
    run_stream([wrong, fine], detector(calibrated_bundle), [sink])
    assert {(r.camera, r.verdict.name) for r in sink.results} == {("wrong", "ERROR"), ("fine", "OK")}


def test_every_result_says_where_the_time_went(calibrated_bundle: Bundle) -> None:
    sink = MemorySink()
    run_stream(
        FakeSource(endless(), live=True, name="camera"),
        detector(calibrated_bundle),
        [sink],
        policy=StreamPolicy(max_results=3),
    )
    for result in sink.results:
        assert result.camera == "camera"
        assert 0 <= result.age_s <= result.latency_s
        assert result.prepare_s > 0
        assert result.infer_s > 0
        assert result.age_s + result.prepare_s + result.infer_s <= result.latency_s + 1e-3
        assert result.brightness == pytest.approx(51 / 255, abs=0.01)
        assert result.sharpness > 0


# Deadlines


class Late(FakeEngine):
    """Takes `pause_s` on the calls named."""

    def __init__(self, bundle: Bundle, pause_s: float, calls: Sequence[int]) -> None:
        super().__init__(bundle)
        self._pause_s, self._late, self._calls = pause_s, calls, 0
        self.threads: set[int] = set()

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        self.threads.add(threading.get_ident())
        call, self._calls = self._calls, self._calls + 1
        if call in self._late:
            time.sleep(self._pause_s)
        return super().infer(frames)


def test_a_late_answer_is_an_error_at_the_deadline_and_is_thrown_away(calibrated_bundle: Bundle) -> None:
    stamps: list[int] = []

    class Stamped(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            stamps.append(time.monotonic_ns())
            super().write(result, frame)

    sink, engine = Stamped(), Late(calibrated_bundle, 1.5, [0])
    source = FakeSource(endless(), live=True)
    policy = StreamPolicy(deadline_s=0.5, max_results=6)
    summary = run_stream(source, detector(calibrated_bundle, engine), [sink], policy=policy)
    first = sink.results[0]
    assert (first.verdict, first.fault) == (Verdict.ERROR, "deadline")
    assert math.isnan(first.score)
    assert "no verdict within 500 ms" in first.reason
    # The result did not wait for the engine.
    assert (stamps[0] - first.captured_ns) / 1e9 < 1.4
    assert sink.results[-1].verdict is Verdict.OK
    assert summary.faults["deadline"] == summary.verdicts["ERROR"]
    # Never two at a time: one thread has the engine.
    assert len(engine.threads) == 1
    assert [r.frame_index for r in sink.results] == sorted({r.frame_index for r in sink.results})


def test_an_engine_that_hangs_ends_the_run_after_recording_errors(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.line.judge.ENGINE_HANG_S", 0.5)
    engine, sink = Gate(calibrated_bundle), MemorySink()
    source = FakeSource(endless(0.02), live=True)
    with pytest.raises(InferenceError, match=r"has not answered for 0\.5 s"):
        run_stream(source, detector(calibrated_bundle, engine), [sink], policy=StreamPolicy(deadline_s=0.1))
    assert {r.fault for r in sink.results} == {"deadline"}
    engine.opened.set()


def test_the_heart_beats_with_the_loop_and_stops_while_an_answer_is_overdue(calibrated_bundle: Bundle) -> None:
    def beats_with(engine: FakeEngine) -> int:
        beats: list[None] = []
        stop = threading.Event()
        threading.Timer(1.0, stop.set).start()
        policy = StreamPolicy(deadline_s=0.05)
        source = FakeSource(endless(0.02), live=True)
        inspection = detector(calibrated_bundle, engine)
        run_stream(source, inspection, [], policy=policy, stop=stop, beat=lambda: beats.append(None))
        return len(beats)

    hanging = Gate(calibrated_bundle)
    fine, stuck = beats_with(FakeEngine(calibrated_bundle)), beats_with(hanging)
    hanging.opened.set()
    # Before the first frame the loop waits, and its heart beats.
    assert fine > 2 * stuck


def test_an_engine_in_time_decides_as_without_a_deadline(calibrated_bundle: Bundle) -> None:
    pictures = [picture(), picture(204), picture(140)]
    sinks = MemorySink(), MemorySink()
    for sink, policy in zip(sinks, (StreamPolicy(), StreamPolicy(deadline_s=30.0)), strict=True):
        run_stream(FakeSource(pictures), detector(calibrated_bundle), [sink], policy=policy)
    assert [(r.verdict, r.score) for r in sinks[0].results] == [(r.verdict, r.score) for r in sinks[1].results]


def test_an_engine_that_keeps_failing_ends_a_run_with_a_deadline_too(calibrated_bundle: Bundle) -> None:
    class Broken(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:  # noqa: ARG002
            raise InferenceError("device lost")

    sink = MemorySink()
    with pytest.raises(InferenceError, match="device lost"):
        run_stream(
            FakeSource([picture()] * 9),
            detector(calibrated_bundle, Broken(calibrated_bundle)),
            [sink],
            policy=StreamPolicy(deadline_s=30.0),
        )
    assert [r.fault for r in sink.results] == ["engine"] * 3
