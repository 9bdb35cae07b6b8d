"""The controller's program: what a PLC must do, as a state machine that is called once a cycle.

It passes a part on positive evidence alone, and rejects at any doubt. The examples in structured text spell the same
checks in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from csflow.runtime.plc.process_image import Control, Orders, Report, Status

__all__ = ["Controller", "Decision", "Guards"]

OK = 0x5AA5
U32 = 0xFFFFFFFF
QUIET = Status.READY | Status.TRIGGER_ACK | Status.RESULT_VALID


@dataclass(frozen=True)
class Guards:
    """The checks before a part passes; a test switches them off one by one to see that it can fail."""

    whole: bool = True
    """SEQUENCE_BEGIN equals SEQUENCE_END: the block was not torn."""
    fresh: bool = True
    """The sequence is not the one that was read before the trigger: a gateway does not show an old block."""
    id_echo: bool = True
    """RESULT_TRIGGER_ID is the id of this trigger."""
    boot_id: bool = True
    """RESULT_BOOT_ID and BOOT_ID are what BOOT_ID was at the trigger: csflow has not started anew."""

    def evidence(self, report: Report, trigger_id: int, boot_id: int, sequence: int) -> str:
        """Why the report does not prove that the part is good; empty where it does."""
        if self.whole and report.sequence_begin != report.sequence_end:
            return "torn"
        if self.fresh and report.sequence_begin == sequence:
            return "old block"
        if self.id_echo and report.result_trigger_id != trigger_id:
            return "other part"
        if self.boot_id and not report.result_boot_id == report.boot_id == boot_id:
            return "restarted"
        return "" if report.verdict == OK else "not OK"


@dataclass(frozen=True)
class Decision:
    """What the controller does with the part of one trigger."""

    trigger_id: int
    passed: bool
    why: str
    """Empty for a part that passed; 'not OK' for a rejected one; anything else is a rejection for want of evidence."""


class _Phase(Enum):
    RESYNC = 0
    IDLE = 1
    TRIGGERED = 2
    WAITING = 3
    ACKNOWLEDGING = 4


class Controller:
    """One station's program. `scan` is the PLC's cycle; times are counted in cycles."""

    def __init__(
        self,
        decided: Callable[[Decision], None],
        patience: int = 100,
        guards: Guards | None = None,
        last_id: int = 0,
        deadline_ms: int = 0,
    ) -> None:
        """Begin in resynchronisation, as after a restart of the PLC.

        Args:
            decided: called once for each trigger.
            patience: cycles from the trigger to the result before the part is rejected; also for each other answer.
            guards: all, where None.
            last_id: trigger id before the first; a retentive variable.
            deadline_ms: written to DEADLINE_MS.
        """
        self.last_id = last_id
        self._decided = decided
        self._patience = patience
        self._guards = guards or Guards()
        self._deadline_ms = deadline_ms
        self._phase = _Phase.RESYNC
        self._cycles = 0
        self._boot_id = self._sequence = 0
        self._heartbeat = 0
        self._part_id = ""

    @property
    def idle(self) -> bool:
        """Whether it waits for a part."""
        return self._phase is _Phase.IDLE

    def scan(self, report: Report, part: str | None) -> Orders:
        """One cycle.

        Args:
            report: what was read last, however old.
            part: name of the part that lies before the camera and has no decision yet; None where there is none.
        """
        self._cycles += 1
        status = Status(report.status)
        if self._phase is _Phase.RESYNC:
            if not status & QUIET:
                self._enter(_Phase.IDLE)
        elif self._phase is _Phase.IDLE:
            self._wait(report, status, part)
        elif self._cycles > self._patience:
            self._give_up()
        else:
            self._follow(report, status)
        return self._orders()

    def _wait(self, report: Report, status: Status, part: str | None) -> None:
        if part is None:
            self._cycles = 0
        elif status & Status.READY:
            self._trigger(report, part)
        elif self._cycles > self._patience:
            # An acknowledgement that was lost leaves a result in the way.
            self._enter(_Phase.RESYNC)

    def _trigger(self, report: Report, part: str) -> None:
        self.last_id = self.last_id % U32 + 1
        self._boot_id, self._sequence = report.boot_id, report.sequence_begin
        self._part_id = part
        self._enter(_Phase.TRIGGERED)

    def _give_up(self) -> None:
        if self._phase is not _Phase.ACKNOWLEDGING:
            self._decided(Decision(self.last_id, False, "no answer"))
        self._enter(_Phase.RESYNC)

    def _follow(self, report: Report, status: Status) -> None:
        if self._phase is _Phase.TRIGGERED and status & Status.TRIGGER_ACK:
            self._phase = _Phase.WAITING
        elif self._phase is _Phase.WAITING and status & Status.RESULT_VALID:
            why = self._guards.evidence(report, self.last_id, self._boot_id, self._sequence)
            self._decided(Decision(self.last_id, not why, why))
            self._enter(_Phase.ACKNOWLEDGING)
        elif self._phase is _Phase.ACKNOWLEDGING and not status & Status.RESULT_VALID:
            self._enter(_Phase.IDLE)

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._cycles = phase, 0

    def _orders(self) -> Orders:
        control = Control(0) if self._phase is _Phase.RESYNC else Control.ENABLE
        if self._phase is _Phase.TRIGGERED:
            control |= Control.TRIGGER
        elif self._phase is _Phase.ACKNOWLEDGING:
            control |= Control.RESULT_ACK
        self._heartbeat = self._heartbeat % 0xFFFF + 1
        return Orders(
            control,
            self._heartbeat,
            self.last_id,
            deadline_ms=self._deadline_ms,
            part_id=self._part_id,
        )
