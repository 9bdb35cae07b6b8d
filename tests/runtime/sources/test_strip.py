"""A strip comes in pieces that overlap and miss nothing, and never joins what did not follow one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.sources.strip import Strip
from csflow.runtime.types import Frame


def rows(first: int, count: int) -> NDArray[np.uint8]:
    """Rows that tell their numbers."""
    numbers = np.arange(first, first + count, dtype=np.uint8)
    return np.broadcast_to(numbers[:, None, None], (count, 4, 3)).copy()


def pieces(source: Strip) -> Iterator[Frame]:
    while True:
        try:
            frame = source.read(0.0)
        except EndOfStream:
            return
        assert frame is not None
        yield frame


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 30), st.data())
def test_every_row_lies_in_a_piece_and_neighbours_share_what_was_asked_for(
    heights: list[int], height: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, height - 1))
    starts = np.cumsum([0, *heights])
    total = int(starts[-1])
    camera = FakeSource([rows(int(first), count) for first, count in zip(starts, heights, strict=False)])
    strip = Strip(camera, height, overlap)
    if total < height:
        with pytest.raises(FrameError, match=f"ended after {total} rows, before a piece of {height} was whole"):
            strip.read(0.0)
    found = list(pieces(strip))
    begins = [int(frame.image[0, 0, 0]) for frame in found]
    expected = [*range(0, total - height + 1, height - overlap)]
    if total >= height and expected[-1] + height < total:
        expected.append(total - height)
    assert begins == (expected if total >= height else [])
    assert [frame.index for frame in found] == list(range(total < height, len(found) + (total < height)))
    for begin, frame in zip(begins, found, strict=True):
        np.testing.assert_array_equal(frame.image, rows(begin, height))


def test_a_gap_is_told_once_and_the_strip_begins_anew() -> None:
    script = [Frame(rows(10 * i, 10), i) for i in (0, 1, 3, 4, 5)]
    source = Strip(FakeSource(script, live=True, name="line"), 20, 5)
    assert isinstance(source, FrameSource)
    first = source.read(0.0)
    assert first is not None
    with pytest.raises(FrameError, match="1 pictures of the strip are missing") as told:
        source.read(0.0)
    assert (told.value.index, told.value.fault) == (1, "truncated")
    assert [(frame.index, int(frame.image[0, 0, 0])) for frame in pieces(source)] == [(2, 30), (3, 40)]


def test_rows_behind_a_gap_that_are_no_piece_at_the_end_are_told() -> None:
    strip = Strip(FakeSource([Frame(rows(10 * i, 10), i) for i in (0, 1, 3)]), 20, 0)
    assert strip.read(0.0) is not None
    for told in ("1 pictures of the strip are missing", "the strip ended after 10 rows"):
        with pytest.raises(FrameError, match=told):
            strip.read(0.0)
    with pytest.raises(EndOfStream):
        strip.read(0.0)


def test_a_camera_is_given_the_time_that_is_left() -> None:
    class Slow(FakeSource):
        def read(self, timeout_s: float) -> Frame | None:
            given.append(timeout_s)
            return super().read(timeout_s)

    given: list[float] = []
    assert Strip(Slow([rows(0, 10), rows(10, 10)]), 20, 0).read(900.0) is not None
    assert 900.0 >= given[0] >= given[1] > 0.0


@pytest.mark.parametrize("odd", [np.zeros((10, 5, 3), np.uint8), np.zeros((10, 4, 3), np.uint16)])
def test_a_picture_that_does_not_fit_is_told(odd: NDArray[np.uint8]) -> None:
    source = Strip(FakeSource([rows(0, 10), odd]), 15, 0)
    with pytest.raises(FrameError, match="does not continue the strip"):
        source.read(0.0)


def test_a_damaged_picture_is_told_and_the_strip_begins_anew() -> None:
    script = [rows(0, 10), FrameError("torn", 1, "line", "truncated"), Frame(rows(20, 10), 2), Frame(rows(30, 10), 3)]
    source = Strip(FakeSource(script), 15, 0)
    with pytest.raises(FrameError, match="torn"):
        source.read(0.0)
    assert [int(frame.image[0, 0, 0]) for frame in pieces(source)] == [20, 25]


def test_a_piece_that_is_not_whole_is_waited_for_and_the_source_is_closed() -> None:
    camera = FakeSource([rows(0, 10), None, rows(10, 10)], live=True)
    with Strip(camera, 20, 0) as source:
        assert source.read(0.0) is None
        frame = source.read(0.0)
        assert frame is not None
        assert len(frame.image) == 20
    assert camera.closed
