"""The first pictures of a camera are passed over, and the rest counted as if they were the first."""

from __future__ import annotations

import time

import numpy as np
import pytest

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.sources.warm_up import WarmingUp
from csflow.runtime.types import Frame

GREY = np.full((8, 8, 3), 99, np.uint8)


def taken(index: int, after_s: float, begun_ns: int) -> Frame:
    return Frame(GREY, index, begun_ns + int(after_s * 1e9), "camera")


def test_what_was_taken_too_early_is_no_frame_and_leaves_no_gap() -> None:
    begun_ns = time.monotonic_ns()
    script = [
        taken(0, 0.0, begun_ns),
        FrameError("torn", 1, "camera"),
        taken(2, 8.9, begun_ns),
        taken(3, 30.0, begun_ns),
    ]
    camera = FakeSource([*script, FrameError("torn", 4, "camera", "truncated")], live=True, name="camera")
    with WarmingUp(camera, 20.0) as source:
        assert isinstance(source, FrameSource)
        assert (source.name, source.live) == ("camera", True)
        assert [source.read(1.0) for _ in range(3)] == [None] * 3
        frame = source.read(1.0)
        assert frame is not None
        assert (frame.index, frame.captured_ns) == (0, begun_ns + 30 * 10**9)


def test_later_errors_are_told_with_the_number_that_the_frame_would_have_had() -> None:
    begun_ns = time.monotonic_ns()
    steps = [taken(0, -1.0, begun_ns), FrameError("torn", 1, "camera", "truncated")]
    source = WarmingUp(FakeSource(steps, live=True), 0.0)
    assert source.read(1.0) is None
    with pytest.raises(FrameError, match="torn") as caught:
        source.read(1.0)
    assert (caught.value.index, caught.value.fault) == (0, "truncated")


def test_the_end_is_the_end_and_the_source_is_closed() -> None:
    inner = FakeSource([], live=True)
    with WarmingUp(inner, 1.0) as source, pytest.raises(EndOfStream):
        source.read(0.0)
    assert inner.closed
