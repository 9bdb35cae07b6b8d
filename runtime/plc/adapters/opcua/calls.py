"""What clients call: jobs and commands, one of each at a time, whoever calls and by whatever method."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.states import Command, State

__all__ = ["Calls"]

PREPARE_S = 900.0
ANSWER_S = 5.0
STEP_S = 0.1
POLL_S = 0.002
LARGEST_ID = 0xFFFFFFFF
INTERRUPTS = (Command.STOP, Command.ABORT, Command.HALT, Command.RESET)
"""What may be commanded while a job is in work."""
T = TypeVar("T")
Wait = Callable[[Callable[[], Any]], Awaitable[Any]]


class Calls:
    """Each call gives 0 or a `Reason`, among others. Who may call is decided before."""

    def __init__(self, dialogue: Dialogue | None, wait: Wait) -> None:
        """Take the way to control, None where this adapter has none, and what runs calls that wait."""
        self._dialogue, self._wait = dialogue, wait
        self._job = self._commanding = False
        self._stop = threading.Event()
        self._next_id = secrets.randbelow(LARGEST_ID) + 1
        self._continuous = (1, 0)
        self._task: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[Any]] = set()
        self.continuous = False
        """Whether parts are inspected one after the other, until Stop or Abort."""
        self.cause = ""
        """The method in work that may change the state; empty where it changes by itself."""
        self.ended_by = ""
        """The method that ended the last continuous job, which tells its end later than the station."""

    def job_of(self, trigger_id: int) -> int:
        """The first trigger id of the job to which this one belongs."""
        first, last = self._continuous
        return first if first <= trigger_id <= last else trigger_id

    def _refused(self) -> Reason:
        if self._dialogue is None:
            return Reason.NOT_OWNER
        return Reason.BUSY if self._job or self._commanding else Reason.NONE

    async def _settled(self) -> None:
        """Wait while a job that has its result is acknowledged: whoever has heard of READY may ask for the next."""
        end_s = time.monotonic() + ANSWER_S
        while self._dialogue is not None and self._job and not self.continuous and time.monotonic() < end_s:
            if self._dialogue.report.status & Status.BUSY:
                return
            await asyncio.sleep(POLL_S)

    async def inspect(self, trigger_id: int, part_id: str, deadline_ms: int) -> tuple[int, Report | None]:
        """Trigger, wait for the result, acknowledge it: why there was none, or the report that shows it."""
        return await self._whole(self._inspected(trigger_id, part_id, deadline_ms))

    async def _inspected(self, trigger_id: int, part_id: str, deadline_ms: int) -> tuple[int, Report | None]:
        reason, _ = await self._trigger("StartSingleJob", trigger_id, part_id, deadline_ms)
        if reason or self._dialogue is None:
            return int(reason), None
        report = await self._ended(self._dialogue)
        return int(Reason.NONE if report is not None else Reason.ABORTED), report

    async def start(self, trigger_id: int, part_id: str, continuous: bool = False) -> tuple[Reason, int]:
        """Begin a job and come back: why not, or NONE, and its trigger id. Its results are acknowledged by themselves.

        Args:
            trigger_id: 0 for the next free one.
            part_id: of the part; of each one where `continuous`.
            continuous: go on with part after part until Stop or Abort.
        """
        return await self._whole(self._started(trigger_id, part_id, continuous))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        # To its end though the caller may be cut off: a result that nobody reads would keep READY away for ever.
        task = asyncio.ensure_future(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return await asyncio.shield(task)

    async def _started(self, trigger_id: int, part_id: str, continuous: bool) -> tuple[Reason, int]:
        cause = "StartContinuous" if continuous else "StartSingleJob"
        reason, number = await self._trigger(cause, trigger_id, part_id, 0, continuous)
        if not reason and self._dialogue is not None:
            self._task = asyncio.ensure_future(self._rest(self._dialogue, number, part_id))
        return reason, number

    async def _trigger(
        self, cause: str, trigger_id: int, part_id: str, deadline_ms: int, continuous: bool = False
    ) -> tuple[Reason, int]:
        await self._settled()
        refused, dialogue = self._refused(), self._dialogue
        if refused or dialogue is None:
            return refused, 0
        number = trigger_id or self._next_id
        self._next_id = number % LARGEST_ID + 1
        self._job, self.cause, self.ended_by, self.continuous = True, cause, "", continuous
        self._stop.clear()
        if continuous:
            self._continuous = (number, number)
        reason = Reason.INTERNAL
        try:
            reason = await self._wait(lambda: dialogue.trigger(number, part_id, deadline_ms))
        finally:
            self.cause = ""
            if reason:
                self._job = self.continuous = False
        return reason, number

    async def _ended(self, dialogue: Dialogue) -> Report | None:
        """The result of the job in work; afterwards there is none in work."""
        try:
            return await self._wait(lambda: _result(dialogue))  # type: ignore[no-any-return]
        finally:
            self._job = self.continuous = False

    async def _rest(self, dialogue: Dialogue, number: int, part_id: str) -> None:
        try:
            if self.continuous:
                await self._wait(lambda: self._go_on(dialogue, number, part_id))
        finally:
            await self._ended(dialogue)

    def _go_on(self, dialogue: Dialogue, number: int, part_id: str) -> None:
        """Part after part; ends with one in work, or none, once somebody said Stop or the station can go on no more."""
        while not self._stop.is_set():
            _result(dialogue)
            if not self._ready(dialogue):
                return
            with dialogue.turn:
                number = number % LARGEST_ID + 1
                self._next_id, self._continuous = number % LARGEST_ID + 1, (self._continuous[0], number)
                if self._stop.is_set() or dialogue.trigger(number, part_id):
                    return

    def _ready(self, dialogue: Dialogue) -> bool:
        while not self._stop.is_set() and dialogue.report.state in (State.INITIALIZED, State.READY, State.SINGLE):
            if dialogue.ready(STEP_S):
                return True
        return False

    async def command(self, command: Command, argument: int = 0, cause: str = "") -> int:
        """Have a command done; for PrepareRecipe that may take minutes. A job that it ends has ended by then."""
        await self._settled()
        refused, dialogue = self._refused(), self._dialogue
        if refused is Reason.BUSY and command in INTERRUPTS and not self._commanding:
            refused = Reason.NONE
        if refused or dialogue is None:
            return int(refused)
        self._commanding, self.cause = True, cause
        if command in INTERRUPTS:
            self._stop.set()
            self.ended_by = cause if self.continuous else ""
        try:
            reason = await self._wait(lambda: dialogue.command(command, argument, PREPARE_S))
            end_s = time.monotonic() + ANSWER_S
            while self._job and command in INTERRUPTS and time.monotonic() < end_s:
                await asyncio.sleep(POLL_S)
        finally:
            self._commanding, self.cause = False, ""
        return int(reason)


def _result(dialogue: Dialogue) -> Report | None:
    report = None
    while dialogue.open and (report := dialogue.result(STEP_S)) is None:
        dialogue.sign()
    if report is not None:
        dialogue.acknowledge()
        dialogue.open = False
    return report
