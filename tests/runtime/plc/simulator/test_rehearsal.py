"""The handshake over real servers on loopback, with everything that goes wrong; and that a rehearsal can fail."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner
from snap7.server import Server
from snap7.type import SrvArea

from csflow.runtime.cli.plc_simulate import LINKS, plc_simulate
from csflow.runtime.plc.adapters.s7 import ORDER_BYTES, REPORT_BYTES, S7Client
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, pack, unpack
from csflow.runtime.plc.settings import S7
from csflow.runtime.plc.simulator.controller import Guards
from csflow.runtime.plc.simulator.gateway import Faults
from csflow.runtime.plc.simulator.oracle import Misdeeds
from csflow.runtime.plc.simulator.rehearsal import CALM, Account, Plan, rehearse
from csflow.runtime.plc.simulator.served import SERVED, Served

from .line_link import ServedLines


class ServedS7:
    """A controller's data block, which csflow polls and the simulated program works on."""

    def __init__(self, exchange: Exchange) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self._block = bytearray(ORDER_BYTES + REPORT_BYTES)
        self._server = Server()
        self._server.register_area(SrvArea.DB, 1, self._block)
        self._server.start(port)
        self._client = S7Client(S7(f"127.0.0.1:{port}", db=1, period_ms=1), exchange, controls=True)

    def link(self) -> ServedS7:
        return self

    def read(self) -> Report:
        return unpack(Report, bytes(self._block[ORDER_BYTES:]))

    def write(self, orders: Orders) -> None:
        self._block[:ORDER_BYTES] = pack(orders)

    def close(self) -> None:
        self._client.close()
        self._server.stop()
        self._server.destroy()


OVER: dict[str, Callable[[Exchange], Served]] = {**SERVED, "lines": ServedLines, "s7": ServedS7}
REAL = [name for name in OVER if name != "null"]
HANDSHAKES = 200_000
ROUGH = Plan(
    misdeeds=Misdeeds(hang=0.005, crash=0.01, late=0.01), station_restart=0.03, controller_restart=0.02, recipe_every=30
)


@pytest.mark.fault("P5", "P7", "L2")
@pytest.mark.parametrize("over", OVER)
def test_no_defect_passes_whatever_goes_wrong(over: str) -> None:
    account = rehearse(200, OVER[over], seed=1, plan=ROUGH)
    assert account.good, account
    assert account.decisions.total() >= 200
    assert account.decisions[""] > 40
    assert account.decisions["not OK"] > 20
    assert account.restarts > 0


@pytest.mark.parametrize("over", OVER)
def test_where_nothing_goes_wrong_both_sides_count_the_same(over: str) -> None:
    account = rehearse(150, OVER[over], seed=2, plan=CALM)
    assert account.good
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]
    assert account.decisions.total() == 150


@pytest.mark.parametrize("over", OVER)
def test_recipes_change_between_parts_and_no_trigger_is_lost(over: str) -> None:
    account = rehearse(200, OVER[over], seed=4, plan=replace(CALM, recipe_every=20))
    assert account.good
    assert (account.changes, account.refusals, account.missed) == (9, 0, 0)
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]


@pytest.mark.parametrize("over", ["modbus", "lines"])
def test_a_controller_without_checks_lets_defects_pass(over: str) -> None:
    plan = Plan(Faults(frozen=0.02, frozen_ms=200), guards=Guards(fresh=False, id_echo=False, boot_id=False))
    account = Account()
    for seed in range(10):
        account = rehearse(300, OVER[over], seed, plan)
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


@pytest.mark.fault("L2")
@pytest.mark.soak
@pytest.mark.parametrize("over", REAL)
def test_two_hundred_thousand_handshakes_over_real_adapters(over: str) -> None:
    account = rehearse(HANDSHAKES // len(REAL) + 1, OVER[over], seed=3, plan=replace(Plan(), recipe_every=200))
    print("\n".join(account.lines()))
    assert account.good, account


@pytest.mark.soak
def test_ten_thousand_parts_with_a_recipe_change_each_five_hundred() -> None:
    account = rehearse(10_000, SERVED["modbus"], seed=5, plan=replace(CALM, recipe_every=500))
    assert account.good, account
    assert (account.changes, account.refusals, account.missed) == (19, 0, 0)
    assert account.terminal["OK"] == account.decisions[""]
    assert account.terminal["NOK"] == account.decisions["not OK"]
