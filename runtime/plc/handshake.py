"""The handshake of a station with its controller: a state machine without clock, socket or thread.

In go what the controller writes (`Orders`), what holds in the station (`Condition`) and what happened (events); out
come what the controller reads (`Report`) and what is to be done (actions). Four phases, levels only:

    READY=1   the controller writes TRIGGER_ID, then TRIGGER=1
    ACK=1     accepted: exactly one result follows. The controller writes TRIGGER=0, and ACK becomes 0
    ACQ_DONE  the picture is taken, the part may move
    VALID=1   the result is readable. The controller writes RESULT_ACK=1, VALID becomes 0; RESULT_ACK=0

A trigger that is not accepted has no result, and is counted and told (MISSED_TRIGGER). Without ENABLE nothing is begun,
what is in work is abandoned, and the result block is empty; it is empty too wherever VALID is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc.events import (
    Abandon,
    Action,
    Begin,
    CommandEnded,
    Condition,
    Counters,
    Event,
    Execute,
    Exposed,
    Finished,
    Overdue,
)
from csflow.runtime.plc.finding import Finding, failure, proven
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.results import Results, result_block
from csflow.runtime.plc.states import ALLOWED, BLOCKING, Command, State

__all__ = ["Handshake"]


@dataclass
class _Job:
    ticket: int
    trigger_id: int
    part_id: str
    recipe: int
    recipe_crc: int


@dataclass
class _Order:
    """The command in work, or the end of the last one while EXECUTE is still 1."""

    command: Command = Command.NONE
    ended: Reason | None = None
    awaited: bool = True
    """EXECUTE is 1 since it began; else its end is no answer to what the controller asks now."""


@dataclass
class _Complaints:
    """What the controller did wrong; kept until CLEAR_ERROR."""

    missed: bool = False
    overrun: bool = False
    reason: Reason = Reason.NONE
    refused_id: int = 0


@dataclass
class Handshake:
    """See the module. `report` is what the controller reads now."""

    boot_id: int
    automatic: bool = True
    """Go on by itself from PREOPERATIONAL, where Reset leads; else SelectAutomatic is waited for."""
    counters: Counters = field(default_factory=Counters)
    result_id: int = 0
    """The last one that was used."""
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self._mode = State.INITIALIZED if self.automatic else State.PREOPERATIONAL
        # As if the bits had been 1 before: what a controller holds at the start of csflow is no edge.
        self._before = ~Control(0)
        self._ticket = self._last_id = self._exposed_id = 0
        self._offered = False
        self._job: _Job | None = None
        self._results = Results()
        self._acked = False
        self._order = _Order()
        self._crossed = False
        self._complaints = _Complaints()
        self._actions: list[Action] = []

    @property
    def ticket(self) -> int:
        """The job in work; 0 where there is none."""
        return 0 if self._job is None else self._job.ticket

    def step(self, orders: Orders, condition: Condition, events: Sequence[Event] = ()) -> tuple[Report, list[Action]]:
        """One scan: the report that is to be published now, and what is to be done, in this order."""
        self._actions = []
        control = Control(orders.control)
        for event in events:
            self._take(event)
        rose = control & ~self._before
        self._clear(control, rose)
        self._results.acknowledge(control, rose)
        self._trigger(orders, control, rose, condition)
        self._command(orders, control, rose, condition)
        self._before = control
        self.report = self._published(control, condition)
        return self.report, self._actions

    def _take(self, event: Event) -> None:
        if isinstance(event, CommandEnded):
            if self._order.command and self._order.ended is None:
                self._order.ended = event.reason
        elif self._job is None or event.ticket != self._job.ticket:
            return  # too late: that trigger has its result
        elif isinstance(event, Exposed):
            self._exposed_id = self._job.trigger_id
        elif isinstance(event, Overdue):
            self._actions.append(Abandon(event.ticket))
            self._finish(failure(Reason.DEADLINE, "no verdict before the deadline", Quality.DEADLINE_MISSED))
        else:
            self._finish(proven(event.finding, self._job.recipe, self._job.recipe_crc))

    def _finish(self, finding: Finding, shown: bool = True) -> None:
        job, self._job = self._job, None
        assert job is not None
        self._count(finding.verdict)
        self.result_id = (self.result_id + 1) % (1 << 32) or 1
        done = Finished(job.ticket, job.trigger_id, job.part_id, finding, self.result_id, shown)
        self._actions.append(done)
        if shown:
            self._exposed_id = job.trigger_id
            self._results.add(result_block(done, self.boot_id, job.recipe, job.recipe_crc))

    def _count(self, verdict: Verdict) -> None:
        self.counters.completed += 1
        name = {Verdict.OK: "ok", Verdict.NOK: "nok", Verdict.UNCERTAIN: "uncertain"}.get(verdict, "error")
        setattr(self.counters, name, getattr(self.counters, name) + 1)

    def _abandon(self, words: str, shown: bool) -> None:
        if self._job is not None:
            self._actions.append(Abandon(self._job.ticket))
            self._finish(failure(Reason.ABORTED, words), shown)

    def _clear(self, control: Control, rose: Control) -> None:
        if rose & Control.CLEAR_ERROR:
            self._complaints = _Complaints()
        if not control & Control.ENABLE:
            self._abandon("the controller has taken ENABLE away", shown=False)
            self._results.clear()
            self._acked = False
            self._exposed_id = 0

    def _trigger(self, orders: Orders, control: Control, rose: Control, condition: Condition) -> None:
        if not control & Control.TRIGGER:
            self._acked = False
        elif rose & Control.TRIGGER:
            # READY must have been seen: what was published counts, and what has changed since.
            if not (self._offered and self._ready(control, condition)):
                self._refuse(orders, Reason.BUSY, overrun=self._results.full(control))
            elif orders.trigger_id in (0, self._last_id):
                self._refuse(orders, Reason.DUPLICATE_ID)
            else:
                self._accept(orders, condition)

    def _refuse(self, orders: Orders, reason: Reason, overrun: bool = False) -> None:
        self.counters.missed += 1
        self.counters.overruns += overrun
        overrun = overrun or self._complaints.overrun
        self._complaints = _Complaints(True, overrun, reason, orders.trigger_id)

    def _accept(self, orders: Orders, condition: Condition) -> None:
        self.counters.triggers += 1
        self._ticket += 1
        self._last_id = orders.trigger_id
        self._job = _Job(self._ticket, orders.trigger_id, orders.part_id, condition.recipe, condition.recipe_crc)
        self._exposed_id = 0
        self._acked = True
        self._actions.append(Begin(self._ticket, orders.trigger_id, orders.part_id, orders.deadline_ms))

    def _command(self, orders: Orders, control: Control, rose: Control, condition: Condition) -> None:
        order = self._order
        if not control & Control.EXECUTE:
            order.awaited = self._crossed = False
        elif rose & Control.EXECUTE:
            self._crossed = bool(order.command) and order.ended is None
        if order.ended is not None and not order.awaited:
            order = self._order = _Order()
        if rose & Control.EXECUTE and not self._crossed:
            self._begin_command(orders, condition)
        elif order.command is Command.STOP and order.ended is None and self._job is None:
            order.ended = Reason.NONE

    def _begin_command(self, orders: Orders, condition: Condition) -> None:
        try:
            command = Command(orders.command)
        except ValueError:
            command = Command.NONE
        self._order = _Order(command)
        if self._state(condition) not in ALLOWED.get(command, ()):
            self._order = _Order(command, Reason.REFUSED_COMMAND)
        elif command is Command.SELECT_AUTOMATIC:
            self._mode, self._order.ended = State.INITIALIZED, Reason.NONE
        elif command is Command.STOP:
            self._order.ended = None if self._job else Reason.NONE
        else:
            self._interrupt(command, orders.argument)

    def _interrupt(self, command: Command, argument: int) -> None:
        """Commands that end the job in work, and those that are done elsewhere."""
        if command in (Command.ABORT, Command.HALT, Command.RESET):
            self._abandon(f"the controller has commanded {command.name}", shown=True)
        if command is Command.ABORT:
            self._order.ended = Reason.NONE
        elif command is Command.HALT:
            self._mode, self._order.ended = State.HALTED, Reason.NONE
        else:
            if command is Command.RESET:
                self._mode = State.INITIALIZED if self.automatic else State.PREOPERATIONAL
            self._actions.append(Execute(command, argument))

    def _state(self, condition: Condition) -> State:
        if self._mode is State.HALTED:
            return State.HALTED
        if condition.fault:
            return State.ERROR
        if self._mode is State.PREOPERATIONAL:
            return State.PREOPERATIONAL
        if self._job is not None:
            return State.SINGLE
        return State.READY if condition.recipe else State.INITIALIZED

    def _ready(self, control: Control, condition: Condition) -> bool:
        enabled = bool(control & Control.ENABLE) and not control & Control.SET_OFFLINE
        answered = bool(control & Control.BUFFER_RESULTS) or not control & Control.RESULT_ACK
        blocked = self._order.command in BLOCKING and self._order.ended is None
        free = not self._results.full(control)
        return enabled and answered and free and not blocked and self._state(condition) is State.READY

    def _published(self, control: Control, condition: Condition) -> Report:
        state = self._state(condition)
        ready = self._ready(control, condition) and not (control & Control.TRIGGER or condition.parting)
        self._offered = ready or (self._offered and condition.parting and self._job is None)
        failed = Reason.BUSY if self._crossed else self._order.ended or Reason.NONE
        sequence = self._results.sequence & 0xFFFF
        return Report(
            status=self._status(control, condition, ready),
            heartbeat=condition.heartbeat,
            state=state,
            error_code=condition.fault or failed,
            warning_code=self._complaints.reason or condition.warning,
            recipe=condition.recipe,
            recipe_crc=condition.recipe_crc,
            boot_id=self.boot_id,
            acquired_id=self._exposed_id,
            refused_id=self._complaints.refused_id,
            sequence_begin=sequence,
            sequence_end=sequence,
            pending=len(self._results),
            **self._results.shown,
            **vars(self.counters),
            **vars(condition.health),
        )

    def _status(self, control: Control, condition: Condition, ready: bool) -> Status:
        order, online = self._order, self._mode is State.INITIALIZED and not control & Control.SET_OFFLINE
        bits = {
            Status.ONLINE: online,
            Status.READY: ready,
            Status.TRIGGER_ACK: self._acked,
            Status.BUSY: self._job is not None,
            Status.ACQ_DONE: self._exposed_id != 0,
            Status.RESULT_VALID: bool(self._results.shown),
            Status.RESULT_TOGGLE: self._results.toggle,
            Status.OVERRUN: self._complaints.overrun,
            Status.CMD_EXECUTING: bool(order.command) and order.ended is None,
            Status.CMD_DONE: order.ended is Reason.NONE,
            Status.CMD_FAILED: bool(order.ended) or self._crossed,
            Status.WARNING: bool(self._complaints.reason or condition.warning),
            Status.ERROR: bool(condition.fault),
            Status.MISSED_TRIGGER: self._complaints.missed,
            Status.RECIPE_READY: bool(condition.recipe) and not condition.fault,
        }
        return Status(sum(bit for bit, on in bits.items() if on))
