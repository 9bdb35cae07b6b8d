"""Where adapters and station meet: one block each way, replaced whole, so that nobody ever reads half of one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from csflow.runtime.plc.process_image import Orders, Report

__all__ = ["EDGES", "Exchange", "Published"]

EDGES = 64
"""Orders that may wait for the station, each with other bits than the one before; a flood of more loses the middle."""


class Published(NamedTuple):
    """A report with its number: the next one has a higher number."""

    number: int
    report: Report


class Exchange:
    """The station publishes reports and takes the orders of one controller; adapters do the reverse.

    Only the holder of control may give orders. Nobody takes it from a holder that shows itself; the station releases it
    when there was no sign for too long, and then the orders are all zero.
    """

    def __init__(self, recipes: Mapping[int, str] | None = None) -> None:
        """Take the recipes there are, name by number."""
        self.recipes = dict(recipes or {})
        """Name of each recipe by its number; for adapters that list them."""
        self._changed = threading.Condition()
        self._woken = False
        self._published = Published(0, Report())
        self._watching: tuple[Callable[[Report], None], ...] = ()
        self._orders = self._taken = Orders()
        self._waiting: deque[Orders] = deque()
        self._holder = ""
        self._seen_ns = 0
        self.takes = 0
        """How often the station has taken the orders: levels between two of these it has not seen."""

    @property
    def published(self) -> Published:
        """The newest report. Never waits."""
        return self._published

    @property
    def report(self) -> Report:
        """The newest report. Never waits."""
        return self._published.report

    @property
    def orders(self) -> Orders:
        """What is wanted now. Never waits."""
        return self._orders

    @property
    def taken(self) -> Orders:
        """What the station has taken last: in a report's `watch`, the orders that it answers. Never waits."""
        return self._taken

    @property
    def holder(self) -> str:
        """Who has control; empty where nobody has it."""
        return self._holder

    def wait_report(self, number: int, timeout_s: float) -> Published:
        """The newest report, once it has a higher number, or after `timeout_s` seconds whatever it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._published.number > number, timeout_s)
            return self._published

    def watch(self, see: Callable[[Report], None]) -> Callable[[], None]:
        """Have every report from now on, in the station's thread, where nothing may wait; gives what ends that."""
        with self._changed:
            self._watching = (*self._watching, see)

        def forget() -> None:
            with self._changed:
                self._watching = tuple(one for one in self._watching if one != see)

        return forget

    def order(self, who: str, change: Callable[[Orders], Orders]) -> bool:
        """Change the orders as one; False where somebody else has control."""
        with self._changed:
            if self._holder not in ("", who):
                return False
            self._holder = who
            self._seen_ns = time.monotonic_ns()
            before, self._orders = self._orders, change(self._orders)
            if self._orders != before:
                self._queue(before)
                self._notify()
            return True

    def _queue(self, before: Orders) -> None:
        # A bit that falls and rises between two scans is an edge all the same; other changes wait for no scan.
        if self._waiting and (self._orders.control == before.control or len(self._waiting) == EDGES):
            self._waiting[-1] = self._orders
        else:
            self._waiting.append(self._orders)

    def show(self, who: str) -> None:
        """A sign of life of whoever this is."""
        if who == self._holder:
            self._seen_ns = time.monotonic_ns()

    def leave(self, who: str) -> None:
        """Give control back."""
        with self._changed:
            if who == self._holder:
                self._release()

    def _release(self) -> None:
        self._holder, self._orders = "", Orders()
        self._waiting.clear()
        self._waiting.append(self._orders)
        self._notify()

    def take(self, silence_ns: int) -> tuple[Orders, str]:
        """For the station: the next orders, and who lost control just now because there was no sign for `silence_ns`.

        `silence_ns` of 0 waits for ever.
        """
        with self._changed:
            self.takes += 1
            lost = ""
            if self._holder and silence_ns and time.monotonic_ns() - self._seen_ns > silence_ns:
                lost = self._holder
                self._release()
            if self._waiting:
                self._taken = self._waiting.popleft()
                self._woken = bool(self._waiting) or self._woken
            return self._taken, lost

    def publish(self, report: Report) -> None:
        """For the station: everybody reads this from now on."""
        if report == self._published.report:
            return
        with self._changed:
            self._published = Published(self._published.number + 1, report)
            self._changed.notify_all()
        for see in self._watching:
            see(report)

    def wake(self) -> None:
        """Something has happened that the station should look at."""
        with self._changed:
            self._notify()

    def _notify(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """For the station: until there are orders, or somebody called `wake`, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken, timeout_s)
            self._woken = False
