"""The handshake over real servers on loopback, with everything that goes wrong; and that a rehearsal can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from csflow.runtime.cli.plc_simulate import LINKS, plc_simulate
from csflow.runtime.plc.simulator.controller import Guards
from csflow.runtime.plc.simulator.gateway import Faults
from csflow.runtime.plc.simulator.oracle import Misdeeds
from csflow.runtime.plc.simulator.rehearsal import CALM, Account, Plan, rehearse
from csflow.runtime.plc.simulator.served import SERVED

from .opcua_link import CalmOpcUa
from .served import OVER

CALMLY = {**OVER, "opcua": CalmOpcUa}
SLOW = "opcua"
"""Each call is signed and encrypted, and a restart takes seconds: it plays fewer."""
ROUGH = Plan(
    misdeeds=Misdeeds(hang=0.005, crash=0.01, late=0.01), station_restart=0.03, controller_restart=0.02, recipe_every=30
)


@pytest.mark.fault("P5", "P7", "L2")
@pytest.mark.parametrize("over", OVER)
def test_no_defect_passes_whatever_goes_wrong(over: str) -> None:
    handshakes = 50 if over == SLOW else 200
    account = rehearse(handshakes, OVER[over], seed=1, plan=ROUGH)
    assert account.good, account
    assert account.decisions.total() >= handshakes
    assert account.decisions[""] > handshakes / 5
    assert account.decisions["not OK"] > handshakes / 10
    assert account.restarts > 0 or over == SLOW


@pytest.mark.parametrize("over", [name for name in OVER if name != SLOW])
def test_where_nothing_goes_wrong_both_sides_count_the_same(over: str) -> None:
    account = rehearse(150, OVER[over], seed=2, plan=CALM)
    assert account.good
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]
    assert account.decisions.total() == 150


@pytest.mark.parametrize("over", OVER)
def test_recipes_change_between_parts_and_no_trigger_is_lost(over: str) -> None:
    handshakes = 50 if over == SLOW else 200
    account = rehearse(handshakes, CALMLY[over], seed=4, plan=replace(CALM, recipe_every=20))
    assert account.good
    assert (account.changes, account.refusals, account.missed) == ((handshakes - 1) // 20, 0, 0)
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]


@pytest.mark.slow
@pytest.mark.parametrize("over", ["modbus", "lines", "opcua"])
def test_a_controller_without_checks_lets_defects_pass(over: str) -> None:
    handshakes, frozen = (20, 0.2) if over == SLOW else (100, 0.02)
    plan = Plan(Faults(frozen=frozen, frozen_ms=200), guards=Guards(fresh=False, id_echo=False, boot_id=False))
    account = Account()
    for seed in range(3000 // handshakes):
        account = rehearse(handshakes, OVER[over], seed, plan)
        if account.escapes:
            break
    assert account.escapes > 0
    assert not account.good


def test_the_command_prints_counts_and_fails_on_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--over", "null", "--handshakes", "50", "--calm"]
    done = CliRunner().invoke(plc_simulate, arguments)
    assert done.exit_code == 0, done.output
    assert "handshakes  50:" in done.output
    assert "escapes     0, duplicates 0, unanswered 0" in done.output
    monkeypatch.setattr(Account, "good", False)
    done = CliRunner().invoke(plc_simulate, arguments)
    assert done.exit_code == 1
    assert "the rehearsal failed" in done.output


def test_the_command_knows_every_adapter_that_can_be_rehearsed() -> None:
    assert tuple(SERVED) == LINKS


@pytest.mark.soak
def test_ten_thousand_parts_with_a_recipe_change_each_five_hundred() -> None:
    account = rehearse(10_000, SERVED["modbus"], seed=5, plan=replace(CALM, recipe_every=500))
    assert account.good, account
    assert (account.changes, account.refusals, account.missed) == (19, 0, 0)
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]
