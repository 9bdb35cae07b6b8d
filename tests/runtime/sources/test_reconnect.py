"""A camera that comes back: when it is tried again, what is told, and how its frames are numbered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from csflow.runtime.errors import EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.source import FrameSource
from csflow.runtime.sources import reconnect
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.types import Frame

RED = np.full((48, 64, 3), (200, 20, 10), dtype=np.uint8)


class Clock:
    """Stands for the time module: passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(reconnect, "time", fake)
    monkeypatch.setattr("csflow.runtime.sources.fake.time", fake)
    return fake


def camera(*lives: Sequence[Step] | Exception) -> Callable[[], FrameSource]:
    """Opens one life after the other: a script to play, or an error that opening raises."""
    left = list(lives)

    def open_next() -> FrameSource:
        life = left.pop(0)
        if isinstance(life, Exception):
            raise life
        return FakeSource(life, live=True, name="camera")

    return open_next


def until_frame(source: Reconnecting) -> Frame:
    while True:
        frame = source.read(0.2)
        if frame is not None:
            return frame


LOST = SourceLost("camera stopped: cable")


def test_the_loss_is_told_once_and_the_camera_comes_back_counting_on(clock: Clock) -> None:
    source = Reconnecting(camera([RED, RED, LOST], [RED, RED]), 5.0)
    assert [source.read(1.0).index for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(FrameError, match="camera stopped: cable; trying to reach it again") as told:
        source.read(1.0)
    assert (told.value.fault, told.value.index) == ("lost", 2)
    assert until_frame(source).index == 2
    assert source.reconnects == 1
    assert until_frame(source).index == 3
    assert clock.now_s == pytest.approx(100.2)


def test_patience_grows_from_a_fifth_of_a_second_to_three(clock: Clock) -> None:
    gone = SourceError("there is no camera")
    source = Reconnecting(camera([RED, LOST], *[gone] * 6, [RED]), 5.0)
    source.read(1.0)
    tried = []
    with pytest.raises(FrameError, match="cable"):
        source.read(1.0)
    with pytest.raises(FrameError, match="there is no camera"):
        until_frame(source)
    tried.append(clock.now_s)
    assert until_frame(source).index == 1
    # 0.2, then 0.4, 0.8, 1.6, and never more than 3 s apart.
    assert clock.now_s == pytest.approx(100 + 0.2 + 0.4 + 0.8 + 1.6 + 3 + 3 + 3)
    assert tried == [pytest.approx(100.2)]


def test_a_camera_that_opens_but_gives_nothing_is_no_camera_yet(clock: Clock) -> None:
    # As a pipeline whose process starts at once and finds no device a moment later.
    dead = [SourceError("no device")]
    source = Reconnecting(camera([RED, LOST], dead, dead, dead, [RED]), 5.0)
    source.read(1.0)
    for words in ("cable", "no device"):
        with pytest.raises(FrameError, match=words):
            until_frame(source)
    until_frame(source)
    assert source.reconnects == 1
    assert clock.now_s == pytest.approx(100 + 0.2 + 0.4 + 0.8 + 1.6)


def test_after_the_time_it_is_lost_for_good(clock: Clock) -> None:
    gone = SourceError("there is no camera")
    source = Reconnecting(camera([RED, LOST], *[gone] * 50), 5.0, give_up_s=10.0)
    source.read(1.0)
    for _ in range(2):
        with pytest.raises(FrameError):
            until_frame(source)
    with pytest.raises(SourceLost, match="there is no camera; not there after 1"):
        until_frame(source)
    assert 110.0 <= clock.now_s < 114.0


def test_without_patience_the_first_loss_is_the_last() -> None:
    source = Reconnecting(camera([RED, LOST]), 5.0, give_up_s=0.0)
    source.read(1.0)
    with pytest.raises(SourceLost, match=r"cable$"):
        source.read(1.0)


def test_a_camera_that_never_worked_is_an_error_at_once() -> None:
    with pytest.raises(SourceError, match="no such camera"):
        Reconnecting(camera(SourceError("no such camera")), 5.0)
    with pytest.raises(SourceError, match=r"cable$") as caught:
        Reconnecting(camera([LOST]), 5.0, give_up_s=0.0).read(1.0)
    assert type(caught.value) is SourceError


def test_a_camera_that_is_not_there_yet_is_waited_for_as_after_a_loss(clock: Clock) -> None:
    gone = SourceError("there is no camera")
    source = Reconnecting(camera(gone, gone, [RED]), 5.0, absent=("front", "there is no camera"))
    assert source.name == "front"
    with pytest.raises(FrameError, match="there is no camera; trying to reach it again") as told:
        source.read(1.0)
    assert (told.value.fault, told.value.source) == ("lost", "front")
    assert until_frame(source).index == 0
    assert (source.reconnects, source.name) == (0, "front")
    assert clock.now_s == pytest.approx(100 + 0.2 + 0.4 + 0.8)


def test_a_camera_that_never_came_is_told_as_such(clock: Clock) -> None:
    gone = SourceError("there is no camera")
    source = Reconnecting(camera(*[gone] * 50), 5.0, 10.0, absent=("front", "there is no camera"))
    with pytest.raises(FrameError):
        source.read(1.0)
    with pytest.raises(SourceError, match="there is no camera; not there after 1") as caught:
        until_frame(source)
    assert type(caught.value) is SourceError
    assert 110.0 <= clock.now_s < 114.0


@pytest.mark.parametrize("step", [None, FrameError("empty", 1, "camera")])
def test_silence_and_bad_frames_alone_are_a_loss_too(step: Step, clock: Clock) -> None:
    source = Reconnecting(camera([RED, *[step] * 90], [RED]), 1.0)
    source.read(1.0)
    told: list[str] = []
    while not any("trying to reach it" in reason for reason in told):
        clock.sleep(0.1)
        try:
            source.read(0.1)
        except FrameError as error:
            told.append(str(error))
    assert "was silent for 1 s" in told[-1] or "only bad frames for 1 s, the last: empty" in told[-1]
    assert until_frame(source).image is not None


def test_what_is_lost_is_closed_and_the_end_is_the_end(clock: Clock) -> None:
    opened: list[FakeSource] = []

    def opener() -> FrameSource:
        opened.append(FakeSource([RED, LOST], live=True, name="camera"))
        return opened[-1]

    with Reconnecting(opener, 5.0) as source:
        source.read(1.0)
        with pytest.raises(FrameError):
            source.read(1.0)
        until_frame(source)
        assert [s.closed for s in opened] == [True, False]
    assert opened[-1].closed
    with pytest.raises(EndOfStream):
        source.read(0.0)
    assert clock.now_s >= 100.2
