"""What happened in sentences: handshakes step by step, and what the controller did wrong in plain words."""

from __future__ import annotations

from dataclasses import replace

from csflow.runtime.faults import Reason
from csflow.runtime.plc.commissioning.journal import KEPT, REFUSALS_S, Journal
from csflow.runtime.plc.process_image import Control, Orders, Report, Status

READY = Report(boot_id=5, state=6, recipe=1, status=Status.READY, triggers=100, completed=100, missed=7)
BUSY = replace(READY, state=7, status=Status.BUSY | Status.TRIGGER_ACK, triggers=101)
EXPOSED = replace(BUSY, status=Status.BUSY | Status.ACQ_DONE)
SHOWN = replace(READY, status=Status.RESULT_VALID | Status.ACQ_DONE, triggers=101, completed=101, verdict=0x5AA5)
DONE = replace(READY, triggers=101, completed=101)


def of(trigger_id: int) -> Orders:
    return Orders(Control.RESULT_ACK, trigger_id=trigger_id, part_id=f"K-{trigger_id}")


def test_a_handshake_step_by_step() -> None:
    journal = Journal()
    assert journal.see(READY, of(0), 10.0) == (["state READY", "recipe 1 is in force"], [])
    assert journal.see(BUSY, of(42), 10.1) == ([], [])
    assert journal.see(EXPOSED, of(42), 10.112) == ([], [])
    assert journal.see(SHOWN, of(42), 10.133) == ([], [])
    said, wrong = journal.see(DONE, of(42), 10.141)
    (passage,), _ = journal.kept()
    assert (passage.part_id, round(passage.lowered_ms or 0)) == ("K-42", 12)
    assert said == ["trigger 42: exposed after 12 ms, OK after 33 ms, acknowledged after 41 ms"]
    assert wrong == []


def test_a_part_that_the_controller_abandoned() -> None:
    journal = Journal()
    journal.see(READY, of(0), 10.0)
    journal.see(BUSY, of(42), 10.1)
    assert journal.see(DONE, of(42), 10.15)[0] == ["trigger 42: ended unseen after 50 ms"]
    assert journal.see(DONE, of(42), 10.16) == ([], [])


def test_a_result_that_the_controller_never_acknowledged() -> None:
    journal = Journal()
    journal.see(READY, of(0), 10.0)
    journal.see(BUSY, of(42), 10.1)
    journal.see(SHOWN, of(42), 10.133)
    assert journal.see(DONE, Orders(), 10.2)[0] == ["trigger 42: exposed after 33 ms, OK after 33 ms, not acknowledged"]


def test_only_the_last_handshakes_are_kept() -> None:
    journal = Journal()
    journal.see(READY, of(0), 0.0)
    for number in range(1, 51):
        journal.see(replace(SHOWN, triggers=100 + number, completed=100 + number), of(number), number)
        journal.see(replace(DONE, triggers=100 + number, completed=100 + number), of(number), number + 0.1)
    assert [p.trigger_id for p in journal.passages] == list(range(51 - KEPT, 51))


def test_what_the_controller_did_wrong() -> None:
    journal = Journal()
    journal.see(READY, of(0), 10.0)
    refused = replace(READY, missed=8, warning_code=Reason.BUSY, refused_id=42)
    assert journal.see(refused, of(42), 10.1)[1] == ["TRIGGER was raised while READY was 0: id 42"]
    twice = replace(READY, missed=9, warning_code=Reason.DUPLICATE_ID, refused_id=42)
    assert journal.see(twice, of(42), 12.0)[1] == [
        "TRIGGER was raised with an id of 0, or that of the part before: id 42"
    ]


def test_a_flood_of_refusals_is_one_line_a_second() -> None:
    journal = Journal()
    journal.see(READY, of(0), 10.0)
    lines = []
    for number in range(1, 101):
        refused = replace(READY, missed=7 + number, warning_code=Reason.BUSY, refused_id=number)
        lines += journal.see(refused, of(number), 20.0 + number / 1000)[1]
    assert len(lines) == 1
    lines += journal.see(refused, of(100), 20.0 + REFUSALS_S + 0.1)[1]
    assert lines[1] == "TRIGGER was raised while READY was 0: id 100 (99 times since the last of these lines)"


def test_counters_that_came_with_the_start_are_no_news() -> None:
    journal = Journal()
    assert journal.see(READY, of(0), 10.0)[1] == []
    again = replace(READY, boot_id=6, missed=9, triggers=500)
    assert journal.see(again, of(0), 11.0) == (["state READY", "recipe 1 is in force"], [])
    assert list(journal.passages) == []
