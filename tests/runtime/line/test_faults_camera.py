"""What goes wrong with cameras, one test a fault: the result, its reason, the counters, and the recovery.

The numbers C1 to C13 are those of docs/faults.md. No fault may give OK, NOK or a score; after each the same stream
gives OK again.
"""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import CSFlowError, FrameError, SourceError, SourceLost
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.summary import Summary
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.opencv import OpenCVSource
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.sources.v4l2 import CameraSettings, apply_settings, bound_uri
from csflow.runtime.types import Frame, Prediction, Result, Verdict

RNG = np.random.default_rng(11)
Picture = NDArray[np.uint8]


def picture(grey: int = 51, height: int = 64) -> Picture:
    return np.clip(grey + RNG.integers(-3, 4, (height, 64, 3)), 0, 255).astype(np.uint8)


def camera(*lives: Iterable[Step] | CSFlowError) -> Callable[[], FrameSource]:
    """Opens one life of the camera after the other: a script, or why it cannot be opened."""
    left = list(lives)

    def open_next() -> FrameSource:
        life = left.pop(0) if left else SourceError("camera: not there")
        if isinstance(life, CSFlowError):
            raise life
        return FakeSource(life, live=True, name="camera")

    return open_next


class Watched(FakeEngine):
    """Keeps what it was given: no unusable frame may be among it."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.seen: list[int] = []

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        self.seen.extend(frame.index for frame in frames)
        return super().infer(frames)


class Line:
    """An inspection whose frames all wait for their turn, so that none is dropped."""

    def __init__(self, bundle: Bundle) -> None:
        self.engine = Watched(bundle)
        calibration = load_calibration(bundle)
        assert calibration is not None
        self.detector = Detector(bundle, self.engine, calibration)

    def run(self, source: FrameSource, frames: int, frozen: int = 10) -> tuple[list[Result], Summary]:
        sink, policy = MemorySink(), StreamPolicy(depth=1000, health=HealthLimits(frozen=frozen), max_results=frames)
        summary = run_stream(source, self.detector, [sink], policy=policy)
        return sink.results, summary


@pytest.fixture
def line(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr("csflow.runtime.sources.reconnect.BACKOFF_S", (0.01, 0.02))
    return Line(calibrated_bundle)


def kinds(results: Sequence[Result]) -> list[str]:
    return [r.fault or r.verdict.name for r in results]


def assert_errors_are_bare(results: Sequence[Result]) -> None:
    for result in results:
        if result.fault:
            assert result.verdict is Verdict.ERROR
            assert math.isnan(result.score)
            assert result.reason


@pytest.mark.fault("C1")
def test_c1_unplugged_while_idle(line: Line) -> None:
    lost = SourceLost("camera: no such device")
    away = SourceError("camera: not there")
    source = Reconnecting(camera([picture(), lost], away, away, [picture()] * 2), 60.0)
    results, summary = line.run(source, 5)
    assert kinds(results) == ["OK", "lost", "lost", "OK", "OK"]
    assert "no such device; trying to reach it again" in results[1].reason
    assert (summary.reconnects, summary.faults, summary.dropped) == (1, {"lost": 2}, 0)
    assert_errors_are_bare(results)


@pytest.mark.fault("C2")
def test_c2_unplugged_in_mid_exposure(line: Line) -> None:
    lost = FrameError("camera delivered nothing", 1, "camera"), SourceLost("camera: gone")
    source = Reconnecting(camera([picture(), *lost], [picture()]), 60.0)
    results, summary = line.run(source, 4)
    assert kinds(results) == ["OK", "frame", "lost", "OK"]
    assert summary.faults == {"frame": 1, "lost": 1}
    assert line.engine.seen == [0, 2]


@pytest.mark.fault("C3")
def test_c3_a_read_that_never_returns(line: Line) -> None:
    woken = threading.Event()

    def hangs() -> Iterator[Step]:
        yield picture()
        woken.wait()
        yield picture()

    class Wakes(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            if result.fault == "lost":
                woken.set()

    sink = Wakes()
    run_stream(
        Reconnecting(camera(hangs()), 0.3), line.detector, [sink], policy=StreamPolicy(max_results=3, silence_s=0.3)
    )
    assert kinds(sink.results) == ["OK", "lost", "OK"]
    assert "hung in its driver" in sink.results[1].reason


@pytest.mark.fault("C4")
@pytest.mark.parametrize("image", [None, np.zeros((0, 0, 3), np.uint8), picture().astype(np.uint16)])
def test_c4_success_without_a_picture(image: Picture | None, line: Line) -> None:
    pytest.importorskip("cv2", reason="cameras need csflow[camera]")

    class Capture:
        reads: Iterator[tuple[bool, Picture | None]]

        def read(self) -> tuple[bool, Picture | None]:
            return next(self.reads)

        def release(self) -> None: ...

    capture = Capture()
    capture.reads = iter([(True, picture()), (True, image), (True, picture()), (False, None)])
    results, summary = line.run(OpenCVSource(capture, "camera"), 3)
    assert kinds(results) == ["OK", "frame", "OK"]
    assert "instead of an 8-bit colour picture" in results[1].reason
    assert summary.faults == {"frame": 1}


@pytest.mark.fault("C4")
def test_c4_an_old_buffer_given_again(line: Line) -> None:
    first, old = time.monotonic_ns(), time.monotonic_ns() - 60 * 10**9
    steps = [Frame(picture(), 0, first), Frame(picture(), 1, first), Frame(picture(), 2, old)]
    results, summary = line.run(FakeSource([*steps, picture()], live=True), 4)
    assert kinds(results) == ["OK", "stale", "stale", "OK"]
    assert summary.faults == {"stale": 2}
    assert line.engine.seen == [0, 3]


@pytest.mark.fault("C5")
def test_c5_a_frozen_picture_with_new_timestamps(line: Line) -> None:
    frozen = picture()
    source = FakeSource([*[frozen] * 5, picture()], live=True)
    results, summary = line.run(source, 6, frozen=3)
    assert kinds(results) == ["OK", "OK", "frozen", "frozen", "frozen", "OK"]
    assert "the same picture 5 times" in results[4].reason
    assert summary.faults == {"frozen": 3}


@pytest.mark.fault("C6")
def test_c6_a_picture_cut_off_on_its_way(line: Line) -> None:
    cut = picture()
    cut[40:] = cut[40, 0]
    results, summary = line.run(FakeSource([picture(), cut, picture()], live=True), 3)
    assert kinds(results) == ["OK", "truncated", "OK"]
    assert summary.faults == {"truncated": 1}


@pytest.mark.fault("C7")
def test_c7_another_size_after_a_replug(line: Line) -> None:
    lost = SourceLost("camera: gone")
    lives = [picture(), lost], [picture(height=48), lost], [picture()]
    results, summary = line.run(Reconnecting(camera(*lives), 60.0), 5)
    assert kinds(results) == ["OK", "lost", "size", "lost", "OK"]
    assert "64x48 pixels, the camera began with 64x64" in results[2].reason
    assert summary.reconnects == 2


@pytest.mark.fault("C8")
def test_c8_settings_that_do_not_come_back_after_a_replug(line: Line) -> None:
    cv2 = pytest.importorskip("cv2", reason="cameras need csflow[camera]")
    automatic = iter([1.0, 3.0, 3.0, 1.0])

    class Driver:
        """Manual exposure at first, stuck in automatic after the replug, cured later."""

        def __init__(self) -> None:
            self.exposure = next(automatic)

        def set(self, key: int, value: float) -> bool:
            return bool(key + value)

        def get(self, key: int) -> float:
            return self.exposure if key == cv2.CAP_PROP_AUTO_EXPOSURE else 100.0

    scripts = camera([picture(), SourceLost("camera: gone")], [picture()])

    def opener() -> FrameSource:
        apply_settings(cv2, Driver(), CameraSettings(exposure=100.0), "camera")
        return scripts()

    results, summary = line.run(Reconnecting(opener, 60.0), 4)
    assert kinds(results) == ["OK", "lost", "lost", "OK"]
    assert "automatic exposure is 3 instead of 1" in results[2].reason
    assert (summary.reconnects, line.engine.seen) == (1, [0, 1])


@pytest.mark.fault("C9")
def test_c9_another_camera_takes_the_index(line: Line, tmp_path: Path) -> None:
    link = tmp_path / "usb-Acme-1-video-index0"
    link.symlink_to("/dev/video0")
    bound = bound_uri("0", tmp_path)
    scripts = camera([picture(), SourceLost("camera: gone")], [picture()])
    opened: list[str] = []

    def opener() -> FrameSource:
        opened.append(os.readlink(bound))
        if len(opened) == 1:
            link.unlink()
            link.symlink_to("/dev/video1")  # udev after a replug in another order
        return scripts()

    results, _ = line.run(Reconnecting(opener, 60.0), 3)
    assert kinds(results) == ["OK", "lost", "OK"]
    assert opened == ["/dev/video0", "/dev/video1"]


@pytest.mark.fault("C10")
def test_c10_packets_lost_on_the_network(line: Line) -> None:
    # The real GigE transport is in test_source_gst.py; what a pipeline delivers short arrives here like this.
    short = FrameError("camera delivered 4000 bytes instead of the 12288 of a 64x64 picture", 1, "camera", "truncated")
    results, summary = line.run(FakeSource([Frame(picture()), short, Frame(picture(), 2)], live=True), 3)
    assert kinds(results) == ["OK", "truncated", "OK"]
    assert (summary.dropped, line.engine.seen) == (0, [0, 2])


@pytest.mark.fault("C11")
@pytest.mark.parametrize(("grey", "fault"), [(0, "black"), (255, "saturated")])
def test_c11_a_covered_lens_or_too_much_light(grey: int, fault: str, line: Line) -> None:
    results, summary = line.run(FakeSource([picture(), picture(grey), picture()], live=True), 3)
    assert kinds(results) == ["OK", fault, "OK"]
    assert summary.faults == {fault: 1}
    assert line.engine.seen == [0, 2]


@pytest.mark.fault("C12")
def test_c12_two_hundred_plug_cycles_leave_nothing_behind(line: Line) -> None:
    def state() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = state()
    lives = [[picture(), SourceLost(f"camera: gone {i}")] for i in range(200)]
    source = Reconnecting(camera(*lives, [picture()]), 60.0)
    results, summary = line.run(source, 401)
    assert kinds(results) == ["OK", "lost"] * 200 + ["OK"]
    assert (summary.reconnects, summary.dropped) == (200, 0)
    assert [r.frame_index for r in results if not r.fault] == list(range(201))
    assert state() == before


@pytest.mark.fault("C13")
def test_c13_a_frame_that_is_too_old(line: Line) -> None:
    old = Frame(picture(), 0, time.monotonic_ns() - 3 * 10**9)
    results, summary = line.run(FakeSource([old, Frame(picture(), 1)], live=True), 2)
    assert kinds(results) == ["stale", "OK"]
    assert "2 s are allowed" in results[0].reason
    assert summary.faults == {"stale": 1}
