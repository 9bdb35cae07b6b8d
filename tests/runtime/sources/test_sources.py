"""What every source promises, alone and behind what waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.errors import EndOfStream
from csflow.runtime.line.grabber import Grabber
from csflow.runtime.source import FrameSource, open_source
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.types import Frame

from .pictures import FRAMES, RED, drain, write_folder, write_video


class Clock:
    """Stands for the time module: passes only while somebody sleeps, so that no frame is ever late."""

    def __init__(self) -> None:
        self._now_ns = 0

    def monotonic_ns(self) -> int:
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)


class Prompt(Grabber):
    """The newest frame of a camera that waits until each frame was taken."""

    def __init__(self) -> None:
        self._taken = threading.Semaphore()
        super().__init__(FakeSource(self._script(), live=True))

    def _script(self) -> Iterator[Step]:
        for _ in range(FRAMES):
            while not self._taken.acquire(timeout=0.02):
                yield None
            yield RED

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        self._taken.release()
        return frame


SOURCES: dict[str, Callable[[Path], FrameSource]] = {
    "folder": lambda tmp: open_source(str(write_folder(tmp / "parts"))),
    "glob": lambda tmp: open_source(str(write_folder(tmp / "parts") / "p*.png")),
    "video": lambda tmp: open_source(str(write_video(tmp / "line.avi"))),
    "synthetic": lambda _: open_source("synthetic://?frames=3&fps=0&size=64x64"),
    "synthetic live": lambda _: open_source("synthetic://?frames=3&fps=50&size=64x64"),
    "fake": lambda _: FakeSource([RED, RED, RED]),
    "newest": lambda _: Prompt(),
    "reconnecting": lambda _: Reconnecting(lambda: Prompt(), 60.0),
}


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrameSource:
    if request.param == "synthetic live":
        monkeypatch.setattr("csflow.runtime.sources.synthetic.time", Clock())
    return SOURCES[request.param](tmp_path)


def test_a_source_gives_numbered_rgb_frames_then_ends_for_good(source: FrameSource) -> None:
    with source:
        assert isinstance(source, FrameSource)
        assert source.name
        frames = drain(source)
        with pytest.raises(EndOfStream):
            source.read(0.0)
    assert [f.index for f in frames] == list(range(FRAMES))
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.ndim == 3
        assert frame.image.shape[2] == 3
        assert frame.source
    stamps = [f.captured_ns for f in frames]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()


def test_a_source_may_be_closed_twice_and_gives_nothing_afterwards(source: FrameSource) -> None:
    source.close()
    source.close()
    with pytest.raises(EndOfStream):
        source.read(0.0)


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_colours_arrive_as_rgb(kind: str, tmp_path: Path) -> None:
    with SOURCES[kind](tmp_path) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - (200, 20, 10)).max() < 12
