"""What the commissioner's page is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from csflow.runtime.faults import Reason
from csflow.runtime.plc.commissioning.journal import Journal
from csflow.runtime.plc.commissioning.view import station_view, why_not_ready
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.states import Command, State

IDLE = Report(state=State.READY, recipe=2, boot_id=5, triggers=10, completed=10)


@pytest.mark.parametrize(
    ("report", "control", "words"),
    [
        (replace(IDLE, status=Status.READY), Control.ENABLE, []),
        (replace(IDLE, status=Status.BUSY), Control.ENABLE | Control.TRIGGER, []),
        (IDLE, 0, ["ENABLE is 0"]),
        (IDLE, Control.ENABLE | Control.TRIGGER, ["TRIGGER is still 1"]),
        (IDLE, Control.ENABLE | Control.RESULT_ACK, ["RESULT_ACK is still 1"]),
        (IDLE, Control.ENABLE | Control.SET_OFFLINE, ["SET_OFFLINE is 1"]),
        (replace(IDLE, status=Status.RESULT_VALID), Control.ENABLE, ["a result waits"]),
        (replace(IDLE, status=Status.CMD_EXECUTING), Control.ENABLE, ["the command PREPARE_RECIPE is in work"]),
        (replace(IDLE, state=State.HALTED), Control.ENABLE, ["the state is HALTED"]),
        (replace(IDLE, state=State.INITIALIZED), Control.ENABLE, ["no recipe is ready"]),
        (
            replace(IDLE, state=State.ERROR, error_code=Reason.WORKER_HUNG),
            0,
            ["the state is ERROR: the inspecting process does not answer", "ENABLE is 0"],
        ),
    ],
)
def test_why_ready_is_0(report: Report, control: int, words: list[str]) -> None:
    told = why_not_ready(report, Orders(control, command=Command.PREPARE_RECIPE))
    assert len(told) == len(words)
    assert all(one.startswith(start) for one, start in zip(told, words, strict=True))


def test_the_process_image_in_words_and_the_handshakes_newest_first() -> None:
    exchange, journal = Exchange({2: "cover"}), Journal()
    exchange.order("modbus 10.0.0.7", lambda _: Orders(Control.ENABLE, trigger_id=7, part_id="K-7"))
    orders = exchange.orders
    journal.see(IDLE, orders, 10.0)
    busy = replace(IDLE, status=Status.BUSY | Status.TRIGGER_ACK, state=State.SINGLE, triggers=11)
    journal.see(busy, orders, 11.0)
    journal.see(replace(busy, status=Status.BUSY | Status.ACQ_DONE), orders, 11.0125)
    shown = replace(
        IDLE, status=Status.RESULT_VALID, triggers=11, completed=11, verdict=0xA53C, result_trigger_id=7, reason=2
    )
    journal.see(shown, orders, 11.03)
    journal.complain("TRIGGER was raised while READY was 0: id 8", 11.5)
    exchange.publish(shown)
    view = station_view(exchange, journal, {"control": "modbus", "adapters": ["modbus 0.0.0.0:502"]}, 12.0)
    assert (view["state"], view["ready"], view["holder"], view["recipe"]) == (
        "READY",
        False,
        "modbus 10.0.0.7",
        "2 cover",
    )
    assert view["result"]["verdict"] == "NOK"
    assert view["result"]["reason"] == "score above the reject threshold"
    assert ("ENABLE", True) in view["control_bits"]
    assert ("RESULT_VALID", True) in view["status_bits"]
    (one,) = view["handshakes"]
    steps = {name: one[name] for name in ("trigger", "lowered", "exposed", "verdict", "acknowledged")}
    assert steps == {"trigger": 0.0, "lowered": 12.5, "exposed": 12.5, "verdict": 30.0, "acknowledged": None}
    assert (one["trigger_id"], one["part_id"], one["word"], one["age_s"]) == (7, "K-7", "NOK", 1.0)
    assert view["complaints"] == [{"age_s": 0.5, "text": "TRIGGER was raised while READY was 0: id 8"}]
