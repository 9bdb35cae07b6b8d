"""Registers over a protocol whose clients ask and are answered: so the same simulated controller speaks it too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import NamedTuple

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Control, Orders, Report, Status


class Look(NamedTuple):
    """What a client sees of the station whenever it asks."""

    state: int
    ready: bool
    recipe: int
    error: int
    warning: int
    boot_id: int


class CallLink(ABC):
    """A `Link`. READY is what the station says while nothing is in work and no result waits.

    A command waits for the end of the part, for such a protocol has one of both at a time. ENABLE=0 with a part in work
    ends it.
    """

    def __init__(self) -> None:
        self.before = Orders()
        self.asked = 0
        """The trigger id that has no result yet."""
        self.acked = False
        self.preparing = 0
        """The recipe that was asked for and not answered yet."""
        self.wanted = 0
        """The recipe that is to come into force."""
        self._ended = Status(0)
        self._shown = Report()
        """The result that waits for RESULT_ACK, or the last one without its verdict."""

    @abstractmethod
    def look(self) -> Look:
        """Ask for it; whatever has come before counts. Raises OSError while the station cannot be reached."""

    @abstractmethod
    def live(self, orders: Orders) -> None:
        """Show that the controller lives."""

    @abstractmethod
    def trigger(self, orders: Orders) -> None:
        """Ask for a verdict on a part."""

    @abstractmethod
    def prepare(self, recipe: int) -> None:
        """Ask for a recipe."""

    @abstractmethod
    def end(self) -> None:
        """End the part in work."""

    @property
    def busy(self) -> bool:
        """Whether an answer is due that nobody waits for any more."""
        return False

    def read(self) -> Report:
        """The registers as they would be."""
        seen = self.look()
        status = Status(self._shown.status) | self._ended
        if self.acked:
            status |= Status.TRIGGER_ACK
        if self.asked:
            status |= Status.BUSY
        elif self.wanted:
            status |= Status.CMD_EXECUTING
        elif seen.ready and not self.busy and not self._shown.status and self.before.control & Control.ENABLE:
            status |= Status.READY
        about = {"state": seen.state, "recipe": seen.recipe, "boot_id": seen.boot_id}
        return replace(self._shown, status=status, error_code=seen.error, warning_code=seen.warning, **about)

    def write(self, orders: Orders) -> None:
        """Act on edges, as the station does."""
        control, rose = Control(orders.control), Control(orders.control) & ~Control(self.before.control)
        self.before = orders
        if rose & Control.EXECUTE:
            self.wanted = orders.argument
        if not control & Control.EXECUTE:
            self.wanted, self._ended = 0, Status(0)
        if not control & Control.ENABLE:
            if self.asked:
                self.end()
            self._forget()
            return
        self.live(orders)
        if not control & Control.TRIGGER:
            self.acked = False
        if rose & Control.RESULT_ACK:
            self._forget()
        free = not (self.asked or self.preparing or self.busy)
        if rose & Control.TRIGGER and free and not self._shown.status:
            self.asked = orders.trigger_id
            self.trigger(orders)
        if self.wanted and free and not self.asked:
            self.preparing = self.wanted
            self.prepare(self.wanted)

    def prepared(self, recipe: int, reason: int) -> None:
        """The answer to `prepare`."""
        self.preparing = 0
        if reason != Reason.BUSY and recipe == self.wanted:
            self.wanted, self._ended = 0, Status.CMD_FAILED if reason else Status.CMD_DONE

    def show(self, trigger_id: int, boot_id: int, verdict: Verdict) -> None:
        """The answer to `trigger`."""
        self.asked = 0
        sequence = (self._shown.sequence_begin + 1) & 0xFFFF
        self._shown = Report(
            status=Status.RESULT_VALID,
            sequence_begin=sequence,
            sequence_end=sequence,
            verdict=verdict.code,
            result_trigger_id=trigger_id,
            result_boot_id=boot_id,
        )

    def _forget(self) -> None:
        self.acked = False
        sequence = self._shown.sequence_begin
        self._shown = Report(sequence_begin=sequence, sequence_end=sequence)
