"""The loop of the line: which frames get a verdict, which end ends a run, and what is closed then."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import FrameError, InferenceError, SinkError, SourceError, SourceLost
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.summary import Tally
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.types import Frame, Prediction, Result, Verdict

GOOD = np.full((64, 64, 3), 51, dtype=np.uint8)
UNCERTAIN = np.full((64, 64, 3), 140, dtype=np.uint8)
BAD = np.full((64, 64, 3), 204, dtype=np.uint8)


class ScriptedEngine(FakeEngine):
    """The fake engine after a pause; fails, or gives NaN, on the calls named."""

    def __init__(self, bundle: Bundle, pause_s: float = 0.0, fails: Sequence[int] = (), nans: Sequence[int] = ()):
        super().__init__(bundle)
        self.threads: set[int] = set()
        self._pause_s, self._fails, self._nans, self._calls = pause_s, fails, nans, 0

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        self.threads.add(threading.get_ident())
        call, self._calls = self._calls, self._calls + 1
        time.sleep(self._pause_s)
        if call in self._fails:
            raise InferenceError(f"call {call} failed")
        predictions = super().infer(frames)
        return [Prediction(math.nan, p.anomaly_map) for p in predictions] if call in self._nans else predictions


def detector(bundle: Bundle, engine: FakeEngine | None = None) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine or FakeEngine(bundle), calibration)


def test_every_frame_of_a_file_source_gets_its_verdict_in_order(calibrated_bundle: Bundle) -> None:
    source, sink = FakeSource([GOOD, BAD, None, UNCERTAIN, GOOD]), MemorySink()
    summary = run_stream(source, detector(calibrated_bundle), [sink])
    assert [r.verdict for r in sink.results] == [Verdict.OK, Verdict.NOK, Verdict.UNCERTAIN, Verdict.OK]
    assert [r.frame_index for r in sink.results] == [0, 1, 2, 3]
    assert (summary.frames, summary.dropped) == (4, 0)
    assert summary.verdicts == {"OK": 2, "NOK": 1, "UNCERTAIN": 1, "ERROR": 0}


def test_a_slow_detector_drops_no_frame_of_a_file(calibrated_bundle: Bundle) -> None:
    engine = ScriptedEngine(calibrated_bundle, pause_s=0.01)
    summary = run_stream(FakeSource([GOOD] * 10), detector(calibrated_bundle, engine), [])
    assert (summary.frames, summary.dropped) == (10, 0)


def test_a_slow_detector_gets_the_newest_frame_of_a_camera_and_the_gaps_are_counted(
    calibrated_bundle: Bundle,
) -> None:
    all_shown = threading.Event()

    class Busy(ScriptedEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            assert all_shown.wait(30.0)
            return super().infer(frames)

    def camera() -> Iterator[Step]:
        yield from [GOOD] * 50
        all_shown.set()

    engine, sink = Busy(calibrated_bundle), MemorySink()
    summary = run_stream(FakeSource(camera(), live=True), detector(calibrated_bundle, engine), [sink])
    indices = [r.frame_index for r in sink.results]
    assert indices == sorted(set(indices))
    assert indices[-1] == 49
    assert summary.frames + summary.dropped == 50
    assert summary.frames <= 2
    assert engine.threads == {threading.get_ident()}


@pytest.mark.parametrize("live", [False, True])
def test_source_and_sinks_are_closed_at_the_end_and_the_detector_is_not(live: bool, calibrated_bundle: Bundle) -> None:
    source, sinks = FakeSource([GOOD], live=live), (MemorySink(), MemorySink())
    inspection = detector(calibrated_bundle)
    run_stream(source, inspection, sinks)
    assert source.closed
    assert all(sink.closed for sink in sinks)
    assert inspection.detect(GOOD).verdict is Verdict.OK


def test_the_limit_of_frames_ends_an_endless_source(calibrated_bundle: Bundle) -> None:
    def endless() -> Iterator[Step]:
        while True:
            yield GOOD

    policy = StreamPolicy(max_results=7)
    assert run_stream(FakeSource(endless()), detector(calibrated_bundle), [], policy=policy).frames == 7


@pytest.mark.parametrize("live", [False, True])
def test_stopping_finishes_the_frame_in_work(live: bool, calibrated_bundle: Bundle) -> None:
    stop, sink = threading.Event(), MemorySink()

    class Stopper(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            stop.set()
            super().write(result, frame)

    def endless() -> Iterator[Step]:
        while True:
            yield GOOD
            yield 0.01

    summary = run_stream(FakeSource(endless(), live=live), detector(calibrated_bundle), [Stopper(), sink], stop=stop)
    assert summary.frames == 1
    assert len(sink.results) == 1


def test_a_stop_is_heeded_while_the_camera_is_silent(calibrated_bundle: Bundle) -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    silent = FakeSource([None] * 1000, live=True)
    policy = StreamPolicy(silence_s=60.0)
    assert run_stream(silent, detector(calibrated_bundle), [], stop=stop, policy=policy).frames == 0


def test_a_frame_that_cannot_be_delivered_is_an_error_result_not_a_missing_one(
    calibrated_bundle: Bundle,
) -> None:
    broken = FrameError("b.png is not a picture", 1, "b.png")
    sink, pictures = MemorySink(), []

    class Pictures(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002
            pictures.append(frame is not None)

    source = FakeSource([Frame(GOOD, 0), broken, Frame(GOOD, 2)])
    summary = run_stream(source, detector(calibrated_bundle), [sink, Pictures()])
    assert [r.verdict for r in sink.results] == [Verdict.OK, Verdict.ERROR, Verdict.OK]
    assert (sink.results[1].source, sink.results[1].frame_index) == ("b.png", 1)
    assert "b.png is not a picture" in sink.results[1].reason
    assert pictures == [True, False, True]
    assert summary.dropped == 0


def test_a_frame_that_cannot_be_prepared_is_an_error_result(calibrated_bundle: Bundle) -> None:
    sink = MemorySink()
    run_stream(FakeSource([GOOD[:, :, 0], GOOD]), detector(calibrated_bundle), [sink])
    assert [r.verdict for r in sink.results] == [Verdict.ERROR, Verdict.OK]
    assert "(64, 64)" in sink.results[0].reason


def test_a_score_that_is_not_finite_is_never_ok(calibrated_bundle: Bundle) -> None:
    sink = MemorySink()
    engine = ScriptedEngine(calibrated_bundle, nans=[0])
    run_stream(FakeSource([GOOD, GOOD]), detector(calibrated_bundle, engine), [sink])
    assert [r.verdict for r in sink.results] == [Verdict.ERROR, Verdict.OK]


def test_an_engine_that_fails_now_and_then_costs_only_those_frames(calibrated_bundle: Bundle) -> None:
    engine = ScriptedEngine(calibrated_bundle, fails=[0, 1, 3, 4])
    summary = run_stream(FakeSource([GOOD] * 6), detector(calibrated_bundle, engine), [])
    assert (summary.verdicts["ERROR"], summary.verdicts["OK"]) == (4, 2)


def test_an_engine_that_keeps_failing_ends_the_run_after_recording_each_frame(
    calibrated_bundle: Bundle,
) -> None:
    engine, sink, tally = ScriptedEngine(calibrated_bundle, fails=range(100)), MemorySink(), Tally()
    with pytest.raises(InferenceError, match="call 2 failed"):
        run_stream(FakeSource([GOOD] * 100), detector(calibrated_bundle, engine), [sink], tally=tally)
    assert [r.verdict for r in sink.results] == [Verdict.ERROR] * 3
    assert tally.summary().frames == 3


@pytest.mark.parametrize("live", [False, True])
def test_a_camera_that_falls_silent_is_lost(live: bool, calibrated_bundle: Bundle) -> None:
    sink, tally = MemorySink(), Tally()
    source = FakeSource([GOOD, *[None] * 1000], live=live)
    with pytest.raises(SourceLost, match="fake was silent for 1 s"):
        run_stream(source, detector(calibrated_bundle), [sink], policy=StreamPolicy(silence_s=1.0), tally=tally)
    assert len(sink.results) == tally.summary().frames == 1
    assert source.closed
    assert sink.closed


def test_a_camera_that_hangs_in_its_driver_is_lost_too(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.line.grabber.JOIN_S", 0.01)
    with pytest.raises(SourceLost):
        run_stream(
            FakeSource([GOOD, 2.0], live=True), detector(calibrated_bundle), [], policy=StreamPolicy(silence_s=0.5)
        )


def test_a_camera_that_never_gave_a_frame_is_not_called_lost(calibrated_bundle: Bundle) -> None:
    with pytest.raises(SourceError, match="gave no frame") as caught:
        run_stream(FakeSource([None] * 1000), detector(calibrated_bundle), [], policy=StreamPolicy(silence_s=0.2))
    assert not isinstance(caught.value, SourceLost)


@pytest.mark.parametrize("live", [False, True])
def test_the_loss_a_source_reports_ends_the_run(live: bool, calibrated_bundle: Bundle) -> None:
    tally = Tally()
    with pytest.raises(SourceLost, match="unplugged"):
        run_stream(
            FakeSource([GOOD, SourceLost("unplugged")], live=live),
            detector(calibrated_bundle),
            [],
            tally=tally,
        )
    assert tally.summary().frames == 1


def test_a_sink_that_fails_ends_the_run_and_everything_is_closed(calibrated_bundle: Bundle) -> None:
    class Full(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002
            raise SinkError("disk full")

    source, sink, tally = FakeSource([GOOD] * 5), MemorySink(), Tally()
    with pytest.raises(SinkError, match="disk full"):
        run_stream(source, detector(calibrated_bundle), [sink, Full()], tally=tally)
    assert tally.summary().frames == len(sink.results) == 1
    assert source.closed
    assert sink.closed


def test_a_bad_frame_of_a_camera_is_one_error_and_the_stream_goes_on(calibrated_bundle: Bundle) -> None:
    sink, shown = MemorySink(), threading.Event()

    class Shown(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            shown.set()

    def camera() -> Iterator[Step]:
        for step in (Frame(GOOD, 0), FrameError("empty", 1, "camera"), Frame(GOOD, 2)):
            yield step
            assert shown.wait(30.0)
            shown.clear()

    run_stream(FakeSource(camera(), live=True), detector(calibrated_bundle), [sink, Shown()])
    assert [r.verdict for r in sink.results] == [Verdict.OK, Verdict.ERROR, Verdict.OK]


def test_a_camera_that_gives_only_bad_frames_is_lost(calibrated_bundle: Bundle) -> None:
    def camera() -> Iterator[Step]:
        yield GOOD
        for index in range(1, 10**6):
            yield 0.01
            yield FrameError("empty picture", index, "camera")

    sink = MemorySink()
    with pytest.raises(SourceLost, match=r"only bad frames for 0\.2 s, the last: empty picture"):
        run_stream(
            FakeSource(camera(), live=True), detector(calibrated_bundle), [sink], policy=StreamPolicy(silence_s=0.2)
        )
    assert sink.results[-1].verdict is Verdict.ERROR


def test_however_many_bad_files_a_folder_is_read_to_its_end(calibrated_bundle: Bundle) -> None:
    bad = [FrameError("no picture", index, "file") for index in range(20)]
    script = [step for error in bad for step in (0.02, error)]
    policy = StreamPolicy(silence_s=0.1)
    assert run_stream(FakeSource(script), detector(calibrated_bundle), [], policy=policy).verdicts["ERROR"] == 20
