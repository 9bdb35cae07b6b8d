"""The way from one state to the next, as OPC 40100-1 numbers its transitions."""

from __future__ import annotations

import pytest

from csflow.runtime.plc.adapters.opcua.vision.states import BY_NUMBER, CONTINUOUS, shown, walk
from csflow.runtime.plc.adapters.opcua.vision.tables import STATES, TRANSITIONS
from csflow.runtime.plc.states import State


def numbers(before: int, after: int, cause: str = "") -> list[int]:
    return [step.number for step, _ in walk(before, after, cause)]


@pytest.mark.parametrize(
    ("before", "after", "cause", "expected"),
    [
        (6, 7, "StartSingleJob", [671]),
        (6, 8, "StartContinuous", [681]),
        (7, 6, "", [760]),
        (7, 6, "Stop", [761]),
        (7, 6, "Abort", [762]),
        (8, 6, "Abort", [862]),
        (7, 2, "Halt", [421]),
        (7, 3, "", [430]),
        (3, 6, "", [340]),
        (3, 7, "", [340]),
        (2, 6, "Reset", [211, 150, 560]),
        (1, 6, "SelectModeAutomatic", [151, 560]),
        (5, 6, "PrepareRecipe", [561]),
        (6, 5, "UnprepareRecipe", [651]),
        (2, 3, "", [210, 130]),
        (7, 5, "Abort", [762, 650]),
        (6, 7, "Stop", [670]),
        (6, 6, "", []),
    ],
)
def test_the_way_and_who_caused_it(before: int, after: int, cause: str, expected: list[int]) -> None:
    assert numbers(before, after, cause) == expected


def test_every_state_can_be_reached_from_every_other_and_the_way_hangs_together() -> None:
    leaves = [state.number for state in STATES if state.number != 4]
    for before in leaves:
        for after in leaves:
            at = before
            for step, there in walk(before, after):
                assert step.before in (at, 4)
                assert step.after in (there, 4)
                at = there
            assert at == after


def test_numbers_are_made_of_the_states_they_join() -> None:
    assert all(step.number // 10 == 10 * step.before + step.after for step in TRANSITIONS)
    assert all(bool(step.cause) == (step.number % 10 != 0) for step in TRANSITIONS)
    assert set(State) <= set(BY_NUMBER)


def test_a_continuous_job_is_shown_as_one() -> None:
    assert shown(State.READY, True) == shown(State.SINGLE, True) == CONTINUOUS
    assert shown(State.SINGLE, False) == State.SINGLE
    assert shown(State.ERROR, True) == State.ERROR
