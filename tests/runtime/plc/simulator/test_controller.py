"""The controller's checks, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from csflow.runtime.plc.process_image import Control, Report, Status
from csflow.runtime.plc.simulator.controller import Controller, Decision

READY = Report(status=Status.READY, boot_id=5)
VALID = Report(
    status=Status.RESULT_VALID,
    verdict=0x5AA5,
    result_trigger_id=1,
    result_boot_id=5,
    boot_id=5,
    sequence_begin=3,
    sequence_end=3,
)


def decided_on(report: Report) -> list[Decision]:
    decisions: list[Decision] = []
    controller = Controller(decisions.append)
    controller.scan(Report(), None)
    assert controller.idle
    assert controller.scan(READY, "K").control == Control.ENABLE | Control.TRIGGER
    assert controller.scan(replace(READY, status=Status.TRIGGER_ACK), "K").control == Control.ENABLE
    controller.scan(report, "K")
    return decisions


def test_a_part_passes_on_evidence() -> None:
    assert decided_on(VALID) == [Decision(1, True, "")]


@pytest.mark.fault("P7")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verdict": 0xA53C}, "not OK"),
        ({"verdict": 0}, "not OK"),
        ({"verdict": 0xFFFF}, "not OK"),
        ({"sequence_end": 4}, "torn"),
        ({"sequence_begin": 0, "sequence_end": 0}, "old block"),
        ({"result_trigger_id": 2}, "other part"),
        ({"result_boot_id": 4}, "restarted"),
        ({"boot_id": 4}, "restarted"),
    ],
)
def test_any_doubt_rejects_it(change: dict[str, int], why: str) -> None:
    assert decided_on(replace(VALID, **change)) == [Decision(1, False, why)]  # type: ignore[arg-type]


def test_silence_rejects_it_once_and_resynchronises() -> None:
    decisions: list[Decision] = []
    controller = Controller(decisions.append, patience=5)
    controller.scan(Report(), None)
    for _ in range(7):
        orders = controller.scan(READY, "K")
    assert decisions == [Decision(1, False, "no answer")]
    assert orders.control == Control(0)


def test_a_station_that_never_gets_ready_is_resynchronised() -> None:
    controller = Controller(lambda _: None, patience=3)
    controller.scan(Report(), None)
    orders = [controller.scan(replace(VALID, status=0), "K").control for _ in range(4)]
    assert orders[-1] == Control(0)
