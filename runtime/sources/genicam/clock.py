"""When a frame was taken, by the camera's own clock, and what else the camera says about it.

The two clocks are compared by latching: the camera writes down its time while the host notes its own before and after,
as in Cristian's algorithm (F. Cristian, "Probabilistic clock synchronization", 1989). The error is half of what the
command took, and what the clocks may drift apart until the next comparison. A camera that cannot latch, or stamps no
frames, has no time of its own here: none is invented.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["CameraClock", "Chunks", "frame_id_of"]

LATCHES = (("TimestampLatch", "TimestampLatchValue"), ("GevTimestampControlLatch", "GevTimestampValue"))
"""Command and value: SFNC 2.0 on, and GigE Vision cameras before it."""
TICKS = "GevTimestampTickFrequency"
NANOSECONDS = 1_000_000_000
EVERY_S = 10.0
TRIES = 3
DRIFT = 1e-4
"""Share by which two quartz clocks may run apart: 100 ppm."""
SWITCHES = ("ChunkModeActive", "ChunkEnable", "ChunkSelector", "ChunkComponentSelector")
MOST_CHUNKS = 16


class CameraClock:
    """Gives a frame's stamp in the host's time, `time.monotonic_ns`."""

    def __init__(self, nodes: Any, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Compare the clocks, where the camera can."""
        self._nodes, self._now_ns = nodes, now_ns
        self._latch = next((pair for pair in LATCHES if all(_node(nodes, name) for name in pair)), None)
        self._ticks = int(_value(nodes, TICKS) or NANOSECONDS)
        self._compared: tuple[int, int, int] | None = None
        self.compare()

    def compare(self) -> None:
        """Latch once more where it is due: the offset in ns, its error, and when that was."""
        now_ns = self._now_ns()
        if self._latch is None or (self._compared and now_ns - self._compared[2] < EVERY_S * NANOSECONDS):
            return
        found = [reading for _ in range(TRIES) if (reading := self._latched()) is not None]
        self._compared = min(found, key=lambda reading: reading[1]) if found else None

    def _latched(self) -> tuple[int, int, int] | None:
        assert self._latch is not None
        command, value = self._latch
        try:
            before_ns = self._now_ns()
            self._nodes.get_node(command).execute()
            after_ns = self._now_ns()
            device_ns = self._in_ns(int(self._nodes.get_node(value).value))
        except Exception:  # noqa: BLE001 - the binding's errors have no common base that is public
            return None
        return (before_ns + after_ns) // 2 - device_ns, (after_ns - before_ns + 1) // 2, after_ns

    def _in_ns(self, ticks: int) -> int:
        return ticks * NANOSECONDS // self._ticks

    def device_ns(self, buffer: Any) -> int | None:
        """The stamp that the camera gave a buffer, in ns of its own clock; None where it gave none."""
        if stamp := _told(buffer, "timestamp_ns"):
            return int(stamp)
        stamp = _told(buffer, "timestamp")
        return self._in_ns(int(stamp)) if stamp else None

    def host_ns(self, device_ns: int) -> tuple[int, int] | None:
        """The moment of a stamp by the host's clock, and its error, both in ns; None where they cannot be compared."""
        if self._compared is None:
            return None
        offset_ns, error_ns, at_ns = self._compared
        moment_ns = device_ns + offset_ns
        return moment_ns, error_ns + int(abs(moment_ns - at_ns) * DRIFT)


class Chunks:
    """The numbers that a camera sends along with each picture (SFNC, Chunk Data Control)."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes
        self._names: list[str] | None = None

    def read(self) -> dict[str, float]:
        """Numbers by their names, after a buffer was taken; which there are, the first one decides."""
        if self._names is None:
            names = [name for name in dir(self._nodes) if name.startswith("Chunk") and name not in SWITCHES]
            self._names = [name for name in names if self._number(name) is not None][:MOST_CHUNKS]
        return {name: number for name in self._names if (number := self._number(name)) is not None}

    def _number(self, name: str) -> float | None:
        value = _value(self._nodes, name)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def frame_id_of(buffer: Any) -> int | None:
    """The number that the camera or its producer gave a frame; None where it gave none."""
    number = _told(buffer, "frame_id")
    return None if number is None else int(number)


def _node(nodes: Any, name: str) -> Any:
    try:
        return nodes.get_node(name)
    except Exception:  # noqa: BLE001 - as above
        return None


def _value(nodes: Any, name: str) -> Any:
    return _told(_node(nodes, name), "value")


def _told(thing: Any, word: str) -> Any:
    try:
        return getattr(thing, word)
    except Exception:  # noqa: BLE001 - as above
        return None
