"""The newest frame of a live source, whoever is late."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from csflow.runtime.errors import SourceLost
from csflow.runtime.line.grabber import Grabber
from csflow.runtime.sources.fake import FakeSource, Step

RED = np.full((48, 64, 3), (200, 20, 10), dtype=np.uint8)


def test_a_late_reader_gets_the_newest_frame_and_sees_the_gap() -> None:
    delivered = threading.Event()

    def script() -> Iterator[Step]:
        yield from (RED, RED, RED, RED)
        delivered.set()

    with Grabber(FakeSource(script(), live=True)) as source:
        assert delivered.wait(5.0)
        frame = source.read(1.0)
    assert frame is not None
    assert frame.index == 3


def test_the_last_frame_is_delivered_before_the_loss_is_told() -> None:
    with Grabber(FakeSource([RED, SourceLost("unplugged")], live=True)) as source:
        assert source.read(5.0) is not None
        with pytest.raises(SourceLost, match="unplugged"):
            source.read(5.0)


def test_the_time_limit_holds_while_the_device_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.line.grabber.JOIN_S", 0.01)
    woken = threading.Event()

    def hang() -> Iterator[Step]:
        woken.wait()
        yield RED

    inner = FakeSource(hang(), live=True)
    source = Grabber(inner)
    assert source.read(0.02) is None
    source.close()
    assert not inner.closed
    woken.set()


def test_the_reader_closes_the_source_it_took_over() -> None:
    inner = FakeSource([RED], live=True)
    with Grabber(inner):
        pass
    assert inner.closed
