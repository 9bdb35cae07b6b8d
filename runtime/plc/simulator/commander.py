"""A controller that changes the recipe every so many parts, beside its handshake."""

from __future__ import annotations

from dataclasses import replace

from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.states import Command

__all__ = ["Commander"]

ENDED = Status.CMD_DONE | Status.CMD_FAILED


class Commander:
    """Adds PrepareRecipe to what the handshake writes; the numbers take turns."""

    def __init__(self, every: int, numbers: tuple[int, ...]) -> None:
        """Change after each `every` parts; 0 never."""
        self._every, self._numbers = every, numbers
        self._next = every
        self._asking = False
        self.changes = 0
        """Recipes that came into force."""
        self.refusals = 0

    def scan(self, orders: Orders, report: Report, parts: int) -> Orders:
        """One cycle: the orders, with a command where one is due or in work."""
        status = Status(report.status)
        if self._asking:
            if status & ENDED:
                self._asking = False
                self.changes += bool(status & Status.CMD_DONE)
                self.refusals += bool(status & Status.CMD_FAILED)
        elif self._every and parts >= self._next and not status & (ENDED | Status.CMD_EXECUTING):
            self._asking = True
            self._next += self._every
        if not self._asking:
            return orders
        wanted = self._numbers[(self.changes + 1) % len(self._numbers)]
        control = Control(orders.control) | Control.EXECUTE
        return replace(orders, control=control, command=Command.PREPARE_RECIPE, argument=wanted)
