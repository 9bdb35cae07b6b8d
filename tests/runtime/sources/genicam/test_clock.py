"""The camera's clock against the host's, cameras that have none, and numbers sent along with a picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from csflow.runtime.sources.genicam.clock import DRIFT, CameraClock, Chunks, frame_id_of

SECOND = 1_000_000_000


class Played:
    """A host's clock, and a camera whose clock is `ahead` ns ahead of it, in ticks of `tick_ns`."""

    def __init__(self, ahead: int, tick_ns: int = 1, command_ns: tuple[int, ...] = (400,), old: bool = False) -> None:
        self.now = 5 * SECOND
        self._ahead, self._tick_ns, self._command_ns, self._latched = ahead, tick_ns, list(command_ns), 0
        names = ("GevTimestampControlLatch", "GevTimestampValue") if old else ("TimestampLatch", "TimestampLatchValue")
        self._nodes = {names[0]: SimpleNamespace(execute=self._execute), names[1]: self}
        if old:
            self._nodes["GevTimestampTickFrequency"] = SimpleNamespace(value=SECOND // tick_ns)

    @property
    def value(self) -> int:
        return self._latched

    def _execute(self) -> None:
        takes = self._command_ns.pop(0) if len(self._command_ns) > 1 else self._command_ns[0]
        self.now += takes // 4  # the camera latches at a quarter of the way
        self._latched = (self.now + self._ahead) // self._tick_ns
        self.now += takes - takes // 4

    def get_node(self, name: str) -> Any:
        return self._nodes.get(name)

    def clock(self) -> CameraClock:
        return CameraClock(self, lambda: self.now)


@pytest.mark.parametrize(("old", "tick_ns"), [(False, 1), (True, 8)])
def test_a_stamp_is_within_its_stated_error_of_the_truth(old: bool, tick_ns: int) -> None:
    camera = Played(123_456_789_000, tick_ns, (9000, 400, 5000), old)
    clock = camera.clock()
    truth_ns = camera.now - SECOND
    ticks = (truth_ns + 123_456_789_000) // tick_ns
    buffer = SimpleNamespace(timestamp=ticks) if old else SimpleNamespace(timestamp_ns=ticks)
    device_ns = clock.device_ns(buffer)
    assert device_ns is not None
    found = clock.host_ns(device_ns)
    assert found is not None
    moment_ns, error_ns = found
    assert abs(moment_ns - truth_ns) <= error_ns + tick_ns
    assert error_ns <= 200 + DRIFT * 1.1 * SECOND  # the quickest of three latches counts


def test_clocks_are_compared_again_when_it_is_due() -> None:
    camera = Played(0)
    clock = camera.clock()
    camera._ahead = 7000  # it ran ahead
    clock.compare()
    assert clock.host_ns(camera.now) == pytest.approx((camera.now, 200), abs=400)
    camera.now += 11 * SECOND
    clock.compare()
    found = clock.host_ns(camera.now + 7000)
    assert found is not None
    assert abs(found[0] - camera.now) <= found[1]


def test_what_a_camera_does_not_have_is_absent() -> None:
    class Raises:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"{name}: not available")

    clock = CameraClock(Raises())
    assert clock.device_ns(Raises()) is None
    assert clock.device_ns(SimpleNamespace(timestamp_ns=0, timestamp=0)) is None
    assert clock.host_ns(5) is None
    assert frame_id_of(Raises()) is None
    assert frame_id_of(SimpleNamespace(frame_id=7)) == 7


def test_a_latch_that_fails_gives_no_offset() -> None:
    camera = Played(0)
    camera._nodes["TimestampLatch"] = SimpleNamespace()
    assert camera.clock().host_ns(5) is None


def test_numbers_sent_along_are_read_by_their_names() -> None:
    class Nodes(SimpleNamespace):
        def get_node(self, name: str) -> Any:
            return getattr(self, name)

    nodes = Nodes(
        ChunkExposureTime=SimpleNamespace(value=5000.5),
        ChunkFrameID=SimpleNamespace(value=3),
        ChunkModeActive=SimpleNamespace(value=True),
        ChunkSelector=SimpleNamespace(value=1),
        ChunkUserName=SimpleNamespace(value="x"),
        ChunkGain=SimpleNamespace(),
        Width=SimpleNamespace(value=5),
    )
    chunks = Chunks(nodes)
    assert chunks.read() == {"ChunkExposureTime": 5000.5, "ChunkFrameID": 3}
    del nodes.ChunkExposureTime.value
    assert chunks.read() == {"ChunkFrameID": 3}
