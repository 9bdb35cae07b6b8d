"""What goes into the handshake and comes out of it, beside the two blocks of registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from csflow.runtime.faults import Reason
from csflow.runtime.plc.finding import Finding
from csflow.runtime.plc.process_image import NO_SHARE
from csflow.runtime.plc.states import Command

__all__ = [
    "Abandon",
    "Action",
    "Begin",
    "CommandEnded",
    "Condition",
    "Counters",
    "Decided",
    "Event",
    "Execute",
    "Exposed",
    "Finished",
    "Health",
    "Overdue",
]


@dataclass(frozen=True)
class Health:
    """How station and machine are; each is told in the register of its name."""

    worker_restarts: int = 0
    camera_reconnects: int = 0
    uptime_s: int = 0
    temperature_x10: int = NO_SHARE
    free_disk_mb: int = NO_SHARE


@dataclass(frozen=True)
class Condition:
    """What holds in the station, whatever the controller does."""

    recipe: int = 0
    """Number of the recipe that a worker is ready for; 0 where there is none."""
    recipe_crc: int = 0
    fault: Reason = Reason.NONE
    """Why nothing can be inspected: state ERROR until it is gone."""
    warning: Reason = Reason.NONE
    heartbeat: int = 0
    health: Health = Health()
    parting: bool = False
    """The recipe is about to be changed: READY is not offered, and a trigger that crosses its fall is still taken."""


@dataclass
class Counters:
    """What was counted since the station was installed; each wraps at 2**32 in the registers."""

    triggers: int = 0
    completed: int = 0
    ok: int = 0
    nok: int = 0
    uncertain: int = 0
    error: int = 0
    missed: int = 0
    overruns: int = 0


@dataclass(frozen=True)
class Exposed:
    """The picture of a ticket is taken."""

    ticket: int


@dataclass(frozen=True)
class Decided:
    """The worker, or the station in its place, has come to a result."""

    ticket: int
    finding: Finding


@dataclass(frozen=True)
class Overdue:
    """The deadline of a ticket has passed."""

    ticket: int


@dataclass(frozen=True)
class CommandEnded:
    """What `Execute` asked for is done, or has failed for a reason."""

    reason: Reason = Reason.NONE


Event: TypeAlias = Exposed | Decided | Overdue | CommandEnded


@dataclass(frozen=True)
class Begin:
    """Inspect a part. The ticket names the job inside csflow and is never used twice."""

    ticket: int
    trigger_id: int
    part_id: str
    deadline_ms: int
    """0: the recipe's."""


@dataclass(frozen=True)
class Abandon:
    """Nobody waits for this ticket any more."""

    ticket: int


@dataclass(frozen=True)
class Execute:
    """Do what a command asks; answer with `CommandEnded`."""

    command: Command
    argument: int


@dataclass(frozen=True)
class Finished:
    """The one terminal result of an accepted trigger."""

    ticket: int
    trigger_id: int
    part_id: str
    finding: Finding
    result_id: int
    shown: bool
    """False where the controller abandoned the job: it reads no result then."""


Action: TypeAlias = Begin | Abandon | Execute | Finished
