"""A GPIO chip that the test plays."""

from __future__ import annotations

import queue
import time
from typing import Any

import gpiod
from gpiod.line import Direction, Value

__all__ = ["Chip"]


class Chip:
    """What gpiod gives for outputs and for an input, and a history of (OK, NOK)."""

    def __init__(self, ok: int | str, nok: int | str) -> None:
        self._ok, self._nok = ok, nok
        self.active_low = False
        self.outputs: dict[Any, bool] = {}
        self.history: list[tuple[bool, bool]] = []
        self.active: list[set[Any]] = []
        """Every change of the lines that are active."""
        self.released = 0
        self._edges: queue.SimpleQueue[gpiod.EdgeEvent] = queue.SimpleQueue()
        self._ready: list[gpiod.EdgeEvent] = []
        self._number = 0
        self.broken = False

    def request_lines(self, chip: str, config: dict[Any, Any], **_: Any) -> Chip:
        assert chip == "/dev/gpiochip0"
        for line, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                assert settings.output_value is Value.INACTIVE
                self.outputs[line], self.active_low = False, settings.active_low
        return self

    def set_values(self, values: dict[Any, Value]) -> None:
        if self.broken:
            raise OSError(19, "No such device")
        for line, value in values.items():
            self.outputs[line] = value is Value.ACTIVE
        active = {line for line, level in self.outputs.items() if level}
        if self.active[-1:] != [active]:
            self.active.append(active)
        now = self.outputs[self._ok], self.outputs[self._nok]
        if not self.history or self.history[-1] != now:
            self.history.append(now)

    def edge(self, age_s: float = 0.0) -> None:
        self._number += 1
        stamp_ns = time.monotonic_ns() - int(age_s * 1e9)
        self._edges.put(gpiod.EdgeEvent(1, stamp_ns, 17, self._number, self._number))

    def wait_edge_events(self, timeout: float) -> bool:
        try:
            self._ready.append(self._edges.get(timeout=timeout))
        except queue.Empty:
            return False
        return True

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        return [self._ready.pop(0)]

    def release(self) -> None:
        self.released += 1
