"""The handshake under lost, doubled, torn and kept telegrams, restarts of every side, hung and killed workers."""

from __future__ import annotations

import pytest

from csflow.runtime.plc.simulator.controller import Guards
from csflow.runtime.plc.simulator.gateway import Faults
from csflow.runtime.plc.simulator.model import Hazards, Tally, run_model

FORGETFUL = Hazards(retentive=False, power_cut=0.5)
RESTARTING = Hazards(retentive=False, controller_restart=0.4, power_cut=0.0, station_restart=0.0)
KEEPING = Faults(frozen_ms=3000)
"""A gateway that may show a block of three seconds ago."""


def runs(seeds: int, triggers: int, **other: object) -> Tally:
    total = Tally()
    for seed in range(seeds):
        one = run_model(seed, triggers, **other)  # type: ignore[arg-type]
        total.decisions += one.decisions
        total.terminal += one.terminal
        total.escapes += one.escapes
        total.duplicates += one.duplicates
        total.unanswered += one.unanswered
    return total


@pytest.mark.fault("P5")
def test_no_defect_passes_and_every_trigger_ends_once() -> None:
    tally = runs(4, 300)
    assert tally.good, tally
    assert tally.decisions.total() >= 1200
    assert tally.decisions[""] > 400
    assert tally.decisions["not OK"] > 300
    assert set(tally.terminal) == {"OK", "NOK", "ERROR"}


@pytest.mark.parametrize("hazards", [FORGETFUL, RESTARTING], ids=["power cuts", "PLC restarts"])
def test_a_controller_that_forgets_its_ids_is_safe_with_all_checks(hazards: Hazards) -> None:
    assert runs(4, 200, hazards=hazards, faults=KEEPING).good


def test_without_a_check_of_id_and_freshness_defects_pass() -> None:
    assert runs(4, 300, guards=Guards(id_echo=False, fresh=False), faults=KEEPING).escapes > 0


def test_without_a_check_of_boot_id_and_freshness_defects_pass() -> None:
    guards = Guards(boot_id=False, fresh=False)
    assert runs(4, 200, guards=guards, hazards=FORGETFUL, faults=KEEPING).escapes > 0


def test_id_and_boot_id_alone_do_not_save_a_controller_that_forgets_its_ids() -> None:
    # Why the sequence is compared with the one before the trigger.
    assert runs(8, 200, guards=Guards(fresh=False), hazards=RESTARTING, faults=KEEPING).escapes > 0


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_model(3, 100) == run_model(3, 100)


@pytest.mark.soak
def test_two_hundred_thousand_handshakes() -> None:
    tally = runs(500, 400)
    assert tally.good, tally
    assert tally.decisions.total() >= 200_000
