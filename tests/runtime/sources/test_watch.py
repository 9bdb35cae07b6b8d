"""A watched folder: each picture that appears, once, complete and in order, however long it takes to come."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.errors import ConfigError, EndOfStream, FrameError, SourceError
from csflow.runtime.line.feed import Feed
from csflow.runtime.source import FrameSource, open_source
from csflow.runtime.sources.watch import WatchSource

SETTLE = "settle=0.05"


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    image: NDArray[np.uint8] = np.full((24, 32, 3), level, np.uint8)
    image[::2] += np.arange(32, dtype=np.uint8)[:, None]
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def lot(tmp_path: Path) -> Path:
    folder = tmp_path / "lot"
    folder.mkdir()
    return folder


@pytest.fixture
def source(lot: Path) -> Iterator[FrameSource]:
    with open_source(f"watch:{lot}?{SETTLE}", 0.4) as opened:
        yield opened


def level(source: FrameSource, timeout_s: float = 5.0) -> int:
    frame = source.read(timeout_s)
    assert frame is not None
    return int(frame.image[1, 0, 0])


def test_pictures_come_once_in_natural_order_and_what_lay_there_is_left_out(lot: Path) -> None:
    (lot / "before.png").write_bytes(png(1))
    with open_source(f"watch:{lot}?{SETTLE}") as source:
        assert isinstance(source, WatchSource)
        assert source.read(0.2) is None
        begun_ns = time.monotonic_ns()
        for name, value in (("p10.png", 10), ("p2.png", 2), ("notes.txt", 0), (".hidden.png", 0)):
            (lot / name).write_bytes(png(value))
        frames = [source.read(5.0), source.read(5.0)]
        assert source.read(0.2) is None
        (lot / "p1.png").write_bytes(png(20))
        assert level(source) == 20
    assert [Path(f.source).name for f in frames if f] == ["p2.png", "p10.png"]
    assert [f.index for f in frames if f] == [0, 1]
    assert all(f.captured_ns >= begun_ns for f in frames if f)
    with pytest.raises(EndOfStream):
        source.read(0.0)


def test_what_lay_there_is_taken_first_where_asked_for(lot: Path) -> None:
    for number in (10, 9):
        (lot / f"p{number}.png").write_bytes(png(number))
    with open_source(f"watch:{lot}?existing=1&{SETTLE}") as source:
        assert [level(source), level(source)] == [9, 10]


def test_a_picture_is_taken_when_it_is_complete_and_holds_up_the_next_until_then(
    lot: Path, source: FrameSource
) -> None:
    data = png(7)

    def write_slowly() -> None:
        with (lot / "a.png").open("wb") as file:
            for at in range(0, len(data), len(data) // 6):
                file.write(data[at : at + len(data) // 6])
                file.flush()
                time.sleep(0.08)

    writer = threading.Thread(target=write_slowly)
    writer.start()
    while not (lot / "a.png").exists():
        time.sleep(0.01)
    source.read(0.02)
    (lot / "b.png").write_bytes(png(8))
    assert [level(source), level(source)] == [7, 8]
    writer.join()


def test_a_picture_that_is_renamed_into_place_comes_once(lot: Path, source: FrameSource) -> None:
    (lot / "a.png.tmp").write_bytes(png(5)[:20])
    assert source.read(0.15) is None
    (lot / "a.png.tmp").write_bytes(png(5))
    (lot / "a.png.tmp").rename(lot / "a.png")
    assert level(source) == 5
    assert source.read(0.15) is None


def test_what_never_becomes_a_picture_is_an_error_in_its_place(lot: Path, source: FrameSource) -> None:
    (lot / "a.png").write_bytes(png(3)[:40])
    (lot / "b.png").write_bytes(png(4))
    with pytest.raises(FrameError, match=r"a\.png is not a picture") as broken:
        source.read(5.0)
    assert level(source) == 4
    (lot / "c.png").touch()
    assert source.read(0.1) is None
    (lot / "c.png").unlink()
    with pytest.raises(FrameError, match=r"c\.png is gone") as gone:
        source.read(5.0)
    assert (broken.value.index, gone.value.index) == (0, 2)


def test_a_folder_that_goes_away_is_told_once_and_watched_again_when_it_is_back(lot: Path, source: FrameSource) -> None:
    away = lot.rename(lot.with_name("away"))
    with pytest.raises(FrameError, match="cannot list") as lost:
        source.read(1.0)
    assert lost.value.fault == "lost"
    assert source.read(0.1) is None
    away.rename(lot)
    (lot / "a.png").write_bytes(png(6))
    assert level(source) == 6


def test_a_folder_that_is_not_there_and_a_wrong_option_are_refused(lot: Path) -> None:
    with pytest.raises(SourceError, match="cannot watch"):
        open_source(f"watch:{lot}/nowhere")
    (lot / "file").touch()
    with pytest.raises(SourceError, match="cannot watch"):
        open_source(f"watch:{lot}/file")
    for wrong in ("settle=-1", "settle=x", "existing=yes", "recursive=1"):
        with pytest.raises(ConfigError):
            open_source(f"watch:{lot}?{wrong}")


def test_silence_is_no_loss(source: FrameSource) -> None:
    feed = Feed(source, 0.05, 1, threading.Condition())
    end_s = time.monotonic() + 0.3
    while time.monotonic() < end_s:
        assert feed.poll(0.02) is None
    assert not feed.ready
    assert not feed.ended
    feed.close()
