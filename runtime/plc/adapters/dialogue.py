"""The controller's part of the handshake, for adapters whose clients ask and are answered, without registers."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from csflow.runtime.faults import Reason
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.states import Command

__all__ = ["Dialogue"]

STEP_S = 0.05
READY_S = 0.2
"""How long a trigger waits for READY before it is tried, and refused, without."""
ANSWER_S = 2.0
SEEN_S = 0.0005


class Dialogue:
    """One client's way through the handshake. Calls wait, at most as long as they say.

    One thread asks about parts; another one may command meanwhile, also while `result` waits.
    """

    def __init__(self, exchange: Exchange, who: str) -> None:
        self._exchange, self._who = exchange, who
        self._trigger_id = 0
        self.turn = threading.RLock()
        """Held by whoever changes levels: what is begun under it is not interrupted by a command."""
        self.open = False
        """Whether a result may still come."""

    @property
    def report(self) -> Report:
        """The newest report. Never waits."""
        return self._exchange.report

    def sign(self) -> None:
        """The client lives."""
        self._exchange.show(self._who)

    def keep(self) -> None:
        """Have control, with ENABLE, where nobody has it, and show that the client lives where it has."""
        if self._exchange.holder == self._who:
            self.sign()
        elif not self._exchange.holder:
            self._order(control=Control.ENABLE)

    def ready(self, timeout_s: float) -> bool:
        """Whether READY is there, within `timeout_s` seconds."""
        return bool(self._until(lambda report: bool(report.status & Status.READY), timeout_s).status & Status.READY)

    def trigger(self, trigger_id: int, part: str = "", deadline_ms: int = 0) -> Reason:
        """Ask for a verdict on a part: NONE where exactly one result follows, else why there is none."""
        with self.turn:
            return self._triggered(trigger_id, part, deadline_ms)

    def _triggered(self, trigger_id: int, part: str, deadline_ms: int) -> Reason:
        if not self._order(control=Control.ENABLE):
            return Reason.NOT_OWNER
        self.ready(READY_S)
        missed = self._exchange.report.missed
        control = Control.ENABLE | Control.TRIGGER
        if not self._order(control=control, trigger_id=trigger_id, part_id=part, deadline_ms=deadline_ms):
            return Reason.NOT_OWNER
        report = self._until(lambda r: bool(r.status & Status.TRIGGER_ACK) or r.missed != missed, ANSWER_S)
        accepted, refused = bool(report.status & Status.TRIGGER_ACK), report.missed != missed
        if not (accepted or refused):
            # A station that was held up takes the trigger yet, and its result would wait for ever for who reads it.
            self._order(control=Control(0))
        if not self._lower(Control.ENABLE):
            return Reason.NOT_OWNER
        self._trigger_id, self.open = trigger_id, accepted
        if accepted:
            return Reason.NONE
        return _reason(report.warning_code) if refused else Reason.DEADLINE

    def miss(self, trigger_id: int) -> None:
        """A trigger that came while the station was not ready: it is refused, counted and told as one.

        With an id of 0 it is refused whether or not the station is ready.
        """
        missed = self._exchange.report.missed
        control = self._exchange.orders.control
        if self._order(control=control | Control.TRIGGER, trigger_id=trigger_id):
            self._until(lambda report: report.missed != missed, ANSWER_S)
            self._lower(control)

    def result(self, timeout_s: float = math.inf) -> Report | None:
        """The report with the result of the accepted trigger, within `timeout_s` seconds.

        None where there is none yet, or, with `open` false, none to read ever: the part was ended.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            report = self._until(lambda r: self._shown(r) or not r.status & Status.BUSY, STEP_S)
            if self._shown(report):
                return report
            self.open = bool(report.status & Status.BUSY) and self._exchange.holder == self._who
            if not self.open or time.monotonic() >= end_s:
                return None

    def _shown(self, report: Report) -> bool:
        return bool(report.status & Status.RESULT_VALID) and report.result_trigger_id == self._trigger_id

    def acknowledge(self) -> None:
        """The result was read."""
        with self.turn:
            if self._order(control=Control.ENABLE | Control.RESULT_ACK):
                self._until(lambda report: not report.status & Status.RESULT_VALID, ANSWER_S)
                self._order(control=Control.ENABLE)

    def command(self, command: Command, argument: int = 0, timeout_s: float = ANSWER_S) -> Reason:
        """Have a command done: NONE where it was, INTERNAL where it is not done in time, else why it was not."""
        with self.turn:
            return self._commanded(command, argument, timeout_s)

    def _commanded(self, command: Command, argument: int, timeout_s: float) -> Reason:
        control = Control.ENABLE | Control.EXECUTE
        if not self._order(control=control, command=command, argument=argument):
            return Reason.NOT_OWNER
        ended = Status.CMD_DONE | Status.CMD_FAILED
        end_s, report = time.monotonic() + timeout_s, self._exchange.report
        while not report.status & ended and time.monotonic() < end_s and self._exchange.holder == self._who:
            report = self._until(lambda r: bool(r.status & ended), STEP_S)
            self.sign()
        self._order(control=Control.ENABLE)
        self._until(lambda r: not r.status & ended, ANSWER_S)
        if report.status & Status.CMD_DONE:
            return Reason.NONE
        return _reason(report.error_code) if report.status & Status.CMD_FAILED else Reason.INTERNAL

    def leave(self) -> None:
        """The client is gone: a part in work is ended."""
        self._exchange.leave(self._who)

    def _order(self, **change: int | str) -> bool:
        def changed(orders: Orders) -> Orders:
            return replace(orders, **change)  # type: ignore[arg-type]  # each by its name

        return self._exchange.order(self._who, changed)

    def _lower(self, control: Control | int) -> bool:
        """Take a level away, and wait until the station has seen that: else it would miss the next edge."""
        if not self._order(control=control):
            return False
        before, end_s = self._exchange.takes, time.monotonic() + ANSWER_S
        while self._exchange.takes == before and time.monotonic() < end_s:
            time.sleep(SEEN_S)
        return True

    def _until(self, what: Callable[[Report], bool], timeout_s: float) -> Report:
        end_s = time.monotonic() + timeout_s
        published = self._exchange.published
        while not what(published.report) and (left_s := end_s - time.monotonic()) > 0:
            published = self._exchange.wait_report(published.number, min(left_s, STEP_S))
        return published.report


_REASONS = {int(r): r for r in Reason}


def _reason(number: int) -> Reason:
    return _REASONS.get(number) or Reason.INTERNAL
