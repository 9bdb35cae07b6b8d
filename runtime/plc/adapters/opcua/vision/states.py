"""The states of OPC 40100-1 as a station shows them, and the transitions that lead from one to the next."""

from __future__ import annotations

from collections import deque

from csflow.runtime.plc.adapters.opcua.vision.tables import STATES, TRANSITIONS, State, Transition

__all__ = ["BY_NUMBER", "CONTINUOUS", "OPERATIONAL", "shown", "walk"]

HALTED, ERROR, INITIALIZED, READY, SINGLE = 2, 3, 5, 6, 7
OPERATIONAL = 4
CONTINUOUS = 8
BY_NUMBER: dict[int, State] = {state.number: state for state in STATES}
ENDS = (HALTED, ERROR)
"""Halted and Error: no way leads through them."""
_WITHIN = (INITIALIZED, READY, SINGLE, CONTINUOUS)


def shown(state: int, continuous: bool) -> int:
    """The number to show for a station's STATE; a station counts the parts of a continuous job as single ones."""
    return CONTINUOUS if continuous and state in (READY, SINGLE) else state


def walk(before: int, after: int, cause: str = "") -> list[tuple[Transition, int]]:
    """The shortest way between two states that are not Operational itself, each step with the state it leads to.

    Args:
        before: number of the state that was shown.
        after: number of the state that is.
        cause: method that was called since; the first step that it can cause is told as its transition, all others as
            what the system did by itself.
    """
    ways: dict[int, list[tuple[Transition, int]]] = {before: []}
    waiting = deque([before])
    while waiting and after not in ways:
        here = waiting.popleft()
        if here in ENDS and here != before:
            continue
        for step, there in _steps(here):
            if there not in ways:
                ways[there] = [*ways[here], (step, there)]
                waiting.append(there)
    return _caused(ways.get(after, []), cause)


def _steps(here: int) -> list[tuple[Transition, int]]:
    found = []
    # Ways within Operational first: none of the same length leads out of it and back.
    for one in sorted(TRANSITIONS, key=lambda step: min(step.before, step.after) <= OPERATIONAL):
        leaves = one.before == here or (one.before == OPERATIONAL and here in _WITHIN)
        if one.cause or not leaves:
            continue
        # Out of Error the system goes back to whatever it can do; into Operational otherwise only by Initialized.
        targets = _WITHIN if one.before == ERROR and one.after == OPERATIONAL else (one.after,)
        found += [(one, there) for there in targets if there != OPERATIONAL]
    return found


def _caused(steps: list[tuple[Transition, int]], cause: str) -> list[tuple[Transition, int]]:
    for at, (step, there) in enumerate(steps):
        same = (one for one in TRANSITIONS if (one.before, one.after) == (step.before, step.after))
        found = next((one for one in same if one.cause == cause), None)
        if cause and found is not None:
            return [*steps[:at], (found, there), *steps[at + 1 :]]
    return steps
