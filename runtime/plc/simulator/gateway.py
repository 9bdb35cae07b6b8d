"""A link between controller and station that misbehaves as fieldbus gateways do, with a random generator of its own."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, fields

from csflow.runtime.plc.process_image import Orders, Report, pack, unpack

__all__ = ["Faults", "Gateway"]

RESULT_BYTE = 32
"""Where the result block begins: a controller that reads in two requests is torn here."""


@dataclass(frozen=True)
class Faults:
    """Probabilities a telegram, and the longest time that a cached block stays old."""

    lost: float = 0.03
    doubled: float = 0.02
    """A write arrives a second time, before one of the next eight."""
    torn: float = 0.02
    """Of a write, id and part arrive, the bits do not."""
    frozen: float = 0.003
    """One of the two blocks that are read stays as it is for some time."""
    frozen_ms: int = 400


class Gateway:
    """Keeps a copy of each block; each of its transfers can fail."""

    def __init__(self, generator: random.Random, faults: Faults | None = None) -> None:
        self._random = generator
        self._faults = faults or Faults()
        self._late: deque[Orders] = deque(maxlen=8)
        self._copy = pack(Report())
        self._thaws_ms = [0, 0]

    def read(self, report: Report, now_ms: int) -> Report:
        """What the controller reads while the station publishes `report`."""
        fresh = pack(report)
        head, tail = self._copy[:RESULT_BYTE], self._copy[RESULT_BYTE:]
        if self._arrives(0, now_ms):
            head = fresh[:RESULT_BYTE]
        if self._arrives(1, now_ms):
            tail = fresh[RESULT_BYTE:]
        self._copy = head + tail
        return unpack(Report, self._copy)

    def _arrives(self, block: int, now_ms: int) -> bool:
        if self._random.random() < self._faults.frozen:
            self._thaws_ms[block] = now_ms + self._random.randrange(self._faults.frozen_ms)
        return now_ms >= self._thaws_ms[block] and self._random.random() >= self._faults.lost

    def write(self, orders: Orders, before: Orders) -> list[Orders]:
        """What arrives at the station, in order, when the controller writes `orders` over `before`."""
        chance = self._random.random
        arriving = [self._late.popleft()] if self._late and chance() < 0.5 else []
        if chance() < self._faults.lost:
            return arriving
        if chance() < self._faults.torn:
            kept = {f.name: getattr(orders, f.name) for f in fields(orders) if f.name != "control"}
            return [*arriving, Orders(control=before.control, **kept)]
        if chance() < self._faults.doubled:
            self._late.append(orders)
        return [*arriving, orders]
