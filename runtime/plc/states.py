"""Numbers of a station that only a controller sees: its state, and the commands it takes."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ALLOWED", "BLOCKING", "Command", "State"]


class State(IntEnum):
    """State of the station; the numbers are those of OPC 40100-1 (VDMA 40100-1), 8.2 and 8.3.

    4, Operational, is implied by 5 and more; 8, ContinuousExecution, is shown by OPC UA alone: each result has its
    trigger.
    """

    PREOPERATIONAL = 1
    HALTED = 2
    ERROR = 3
    INITIALIZED = 5
    READY = 6
    SINGLE = 7


class Command(IntEnum):
    """What the COMMAND register asks for."""

    NONE = 0
    PREPARE_RECIPE = 1
    UNPREPARE_RECIPE = 2
    RESET = 3
    HALT = 4
    SELECT_AUTOMATIC = 5
    STOP = 6
    ABORT = 7
    SELF_TEST = 8


_WORKING = (State.INITIALIZED, State.READY, State.SINGLE)
ALLOWED: dict[Command, tuple[State, ...]] = {
    Command.PREPARE_RECIPE: _WORKING,
    Command.UNPREPARE_RECIPE: (State.INITIALIZED, State.READY),
    Command.RESET: tuple(State),
    Command.HALT: tuple(State),
    Command.SELECT_AUTOMATIC: (State.PREOPERATIONAL,),
    Command.STOP: _WORKING,
    Command.ABORT: _WORKING,
    Command.SELF_TEST: (State.READY,),
}
"""In which states a command may be asked."""
BLOCKING = (Command.UNPREPARE_RECIPE, Command.RESET, Command.SELF_TEST)
"""While these are in work no trigger is taken."""
