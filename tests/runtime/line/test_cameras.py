"""Cameras of a run: one that is absent is waited for, and keeps no other from working."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BackendUnavailable, ConfigError, EndOfStream, SourceError
from csflow.runtime.line.cameras import CameraPolicy, open_cameras, warm_up_left_s
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.sources.opencv import redact
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.sources.warm_up import WARM_UP_S, WarmingUp
from csflow.runtime.types import Frame, Result

from .playing import detector, endless, picture

COLD = CameraPolicy(warm_up_s=0.0)


@pytest.fixture
def stack() -> contextlib.ExitStack:
    with contextlib.ExitStack() as made:
        yield made  # type: ignore[misc]


def play(monkeypatch: pytest.MonkeyPatch, opener: Callable[[str, float], FrameSource]) -> None:
    monkeypatch.setattr("csflow.runtime.source.open_source", opener)
    monkeypatch.setattr("csflow.runtime.sources.reconnect.BACKOFF_S", (0.01, 0.02))


def live(uri: str, _timeout_s: float = 5.0) -> FakeSource:
    return FakeSource(endless(), live=True, name=uri)


def test_one_absent_camera_of_three_does_not_stop_the_other_two(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    booted, stop = threading.Event(), threading.Event()

    def opener(uri: str, timeout_s: float) -> FakeSource:
        if "c" in uri and not booted.is_set():
            raise SourceError(f"{uri} does not answer")
        return live(uri, timeout_s)

    class Seen(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            named = [(r.camera, r.verdict.name) for r in self.results]
            if {("rtsp://a", "OK"), ("rtsp://b", "OK"), ("rtsp://c", "ERROR")} <= set(named):
                booted.set()
            if ("rtsp://c", "OK") in named:
                stop.set()

    play(monkeypatch, opener)
    cameras = open_cameras(["rtsp://a", "rtsp://b", "rtsp://c"], COLD, stack)
    sink = Seen()
    summary = run_stream(cameras, detector(calibrated_bundle), [sink], stop=stop, policy=StreamPolicy(silence_s=60.0))
    assert {r.fault for r in sink.results if r.camera == "rtsp://c" and r.verdict.name == "ERROR"} == {"lost"}
    assert summary.reconnects == 0, "it came, it did not come back"


def test_an_absent_camera_is_called_without_its_password_and_settings(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    def absent(_uri: str, _timeout_s: float) -> FrameSource:
        raise SourceError("nobody there")

    play(monkeypatch, absent)
    uris = ["rtsp://admin:secret@10.0.0.7/live?k=v", "7?exposure=100", "/dev/v4l/by-id/usb-x", "gst:rtspsrc x://a:b@c"]
    names = [source.name for source in open_cameras(uris, COLD, stack)]
    assert names == ["rtsp://***@10.0.0.7/live?***", "/dev/video7", "/dev/v4l/by-id/usb-x", "gst:rtspsrc x://***@c"]


def test_without_patience_an_absent_camera_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    def absent(_uri: str, _timeout_s: float) -> FrameSource:
        raise SourceError("nobody there")

    play(monkeypatch, absent)
    with pytest.raises(SourceError, match="nobody there"):
        open_cameras(["0"], CameraPolicy(reconnect_s=0.0), stack)


def test_what_waiting_does_not_mend_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    def uninstalled(_uri: str, _timeout_s: float) -> FrameSource:
        raise BackendUnavailable("no OpenCV")

    play(monkeypatch, uninstalled)
    with pytest.raises(BackendUnavailable):
        open_cameras(["0"], COLD, stack)
    with pytest.raises(SourceError, match="there is no file"):
        open_cameras(["nowhere.mp4"], COLD, stack)
    monkeypatch.undo()
    with pytest.raises(SourceError, match="nowhere"):
        open_cameras(["watch:nowhere/"], COLD, stack)


def test_files_and_ends_of_their_own_are_not_waited_for(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (folder,) = open_cameras([str(tmp_path)], CameraPolicy(), stack)
    assert not isinstance(folder, Reconnecting | WarmingUp)


@pytest.mark.parametrize(("uri", "seconds"), [("0", WARM_UP_S["camera"]), ("rtsp://a", 0.0)])
def test_a_camera_that_exposes_by_itself_warms_up_by_default(
    uri: str, seconds: float, monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    asked: list[float] = []

    class Watched(WarmingUp):
        def __init__(self, source: FrameSource, warm_up_s: float) -> None:
            super().__init__(source, warm_up_s)
            asked.append(warm_up_s)

    play(monkeypatch, live)
    monkeypatch.setattr("csflow.runtime.line.cameras.WarmingUp", Watched)
    open_cameras([uri], CameraPolicy(), stack)
    assert sum(asked) == seconds
    open_cameras([uri], CameraPolicy(warm_up_s=3.0), stack)
    assert asked[-1] == 3.0


def test_a_warm_up_beyond_the_time_limit_and_a_camera_named_twice_are_refused(stack: contextlib.ExitStack) -> None:
    with pytest.raises(ConfigError, match="raise --timeout above it"):
        open_cameras(["0"], CameraPolicy(timeout_s=2.0, warm_up_s=2.0), stack)
    with pytest.raises(ConfigError, match="named twice"):
        open_cameras(["0", "0"], COLD, stack)


def test_channels_of_one_recorder_are_told_apart(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    play(monkeypatch, lambda uri, _: FakeSource([], live=True, name=redact(uri)))
    channels = [f"rtsp://10.0.0.5/cam?channel={number}" for number in (1, 2)]
    sources = open_cameras([*channels, "rtsp://10.0.0.6/cam"], COLD, stack)
    names = ["rtsp://10.0.0.5/cam?*** (1)", "rtsp://10.0.0.5/cam?*** (2)", "rtsp://10.0.0.6/cam"]
    assert [source.name for source in sources] == names


def test_an_index_stays_with_the_device_that_was_first_found(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    opened: list[str] = []
    present = iter(["/dev/v4l/by-id/usb-first", "/dev/v4l/by-id/usb-second"])

    def opener(uri: str, _timeout_s: float) -> FrameSource:
        opened.append(uri)
        if len(opened) < 2:
            raise SourceError("not there yet")
        return FakeSource([picture(), SourceError("unplugged")] if len(opened) == 2 else endless(), live=True)

    play(monkeypatch, opener)
    monkeypatch.setattr("csflow.runtime.line.cameras.bound_uri", lambda _: "0" if not opened else next(present))
    (camera,) = open_cameras(["0"], CameraPolicy(reconnect_s=math.inf, warm_up_s=0.0), stack)
    while len(opened) < 3:
        with contextlib.suppress(SourceError):
            camera.read(0.05)
    assert opened == ["0", "/dev/v4l/by-id/usb-first", "/dev/v4l/by-id/usb-first"]


def test_how_long_a_run_waits_until_its_cameras_are_judged(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    def opener(uri: str, timeout_s: float) -> FakeSource:
        if "away" in uri:
            raise SourceError("nobody there")
        return live(uri, timeout_s)

    play(monkeypatch, opener)
    patient = CameraPolicy(timeout_s=90.0, warm_up_s=60.0)
    assert warm_up_left_s(open_cameras(["rtsp://away"], patient, stack)) == 0.0
    assert warm_up_left_s(open_cameras(["rtsp://a"], COLD, stack)) == 0.0
    for reconnect_s in (0.0, math.inf):
        uris = ["rtsp://away", "rtsp://a"][not reconnect_s :]
        cameras = open_cameras(uris, replace(patient, reconnect_s=reconnect_s), stack)
        assert 30.0 < warm_up_left_s(cameras) <= 60.0


def test_a_watched_folder_is_no_camera_that_may_be_away(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    with pytest.raises(SourceError, match="cannot watch"):
        open_cameras([f"watch:{tmp_path}/nowhere"], COLD, stack)
    (source,) = open_cameras([f"watch:{tmp_path}"], COLD, stack)
    assert not source.live


def test_the_pictures_of_a_line_camera_are_joined_and_cut(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(picture()).save(tmp_path / f"{name}.png")
    height, width = picture().shape[:2]
    (source,) = open_cameras([str(tmp_path)], CameraPolicy(strip=(2 * height, height)), stack)
    frames = [source.read(1.0) for _ in range(2)]
    assert [None if frame is None else frame.image.shape[:2] for frame in frames] == [(2 * height, width)] * 2
    with pytest.raises(EndOfStream):
        source.read(1.0)
