"""The handshake step by step: levels, refusals, and one terminal result for each trigger."""

from __future__ import annotations

import math

import pytest

from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc.events import (
    Abandon,
    Begin,
    Condition,
    Counters,
    Decided,
    Exposed,
    Finished,
    Overdue,
)
from csflow.runtime.plc.finding import Finding, failure
from csflow.runtime.plc.handshake import Handshake
from csflow.runtime.plc.process_image import Control, Status
from csflow.runtime.plc.results import BUFFERED
from csflow.runtime.plc.states import Command, State

from .handshake_bench import OK, ON, A, B, Bench, E, T, X, status


def test_four_phases() -> None:
    bench = Bench()
    assert bench.handshake.report.state == State.READY
    assert status(bench.write(E)) == Status.ONLINE | Status.READY | Status.RECIPE_READY
    report = bench.write(E | T, 42, part_id="K-1")
    assert bench.actions == [Begin(1, 42, "K-1", 0)]
    assert report.state == State.SINGLE
    assert status(report) & (Status.READY | Status.TRIGGER_ACK | Status.BUSY) == Status.TRIGGER_ACK | Status.BUSY
    report = bench.write(E, 42, [Exposed(1)])
    assert Status.ACQ_DONE in status(report)
    assert report.acquired_id == 42
    assert Status.TRIGGER_ACK not in status(report)
    report = bench.write(E, 42, [Decided(1, OK)])
    assert status(report) & (Status.BUSY | Status.RESULT_VALID | Status.READY) == Status.RESULT_VALID
    assert (report.verdict, report.result_trigger_id, report.result_boot_id) == (0x5AA5, 42, 5)
    assert (report.result_part_id, report.recipe_used, report.recipe_crc_used) == ("K-1", 7, 9)
    assert (report.ratio_x1000, report.p_x10000, report.peak_x, report.peak_y) == (500, 5000, 3, 4)
    assert report.sequence_begin == report.sequence_end != 0
    assert report.result_id == 1
    report = bench.write(E | A)
    assert Status.RESULT_VALID not in status(report)
    assert Status.READY not in status(report)
    assert (report.verdict, report.result_trigger_id) == (0, 0)
    assert Status.READY in status(bench.write(E))
    assert bench.actions[1:] == [Finished(1, 42, "K-1", OK, 1, True)]
    assert bench.handshake.counters == Counters(triggers=1, completed=1, ok=1)


def test_what_is_held_at_the_start_is_no_edge() -> None:
    bench = Bench()
    bench.handshake = Handshake(boot_id=6)
    for _ in range(3):
        assert Status.TRIGGER_ACK not in status(bench.write(E | T | X, 42, command=Command.HALT))
    assert bench.actions == []


@pytest.mark.parametrize("trigger_id", [0, 42])
def test_an_id_that_names_no_new_part_is_refused(trigger_id: int) -> None:
    bench = Bench()
    bench.whole(42)
    bench.write(E | A)
    report = bench.trigger(trigger_id)
    assert Status.MISSED_TRIGGER in status(report)
    assert (report.warning_code, report.refused_id, report.missed) == (Reason.DUPLICATE_ID, trigger_id, 1)
    assert report.triggers == 1
    assert Status.MISSED_TRIGGER not in status(bench.write(E | Control.CLEAR_ERROR))


def test_ready_must_have_been_seen() -> None:
    bench = Bench()
    report = bench.write(E | T, 1)
    assert (report.warning_code, report.refused_id) == (Reason.BUSY, 1)
    assert bench.actions == []


def test_a_bouncing_trigger_is_one_part() -> None:
    bench = Bench()
    bench.trigger(1)
    bench.write(E, 1)
    report = bench.write(E | T, 1)
    assert (report.triggers, report.missed) == (1, 1)


def test_a_result_in_the_way_refuses_and_counts_an_overrun() -> None:
    bench = Bench()
    bench.whole(1)
    report = bench.trigger(2)
    assert Status.OVERRUN in status(report)
    assert (report.overruns, report.missed, report.triggers) == (1, 1, 1)
    assert report.result_trigger_id == 1


def test_an_acknowledgement_that_hangs_takes_no_later_result() -> None:
    bench = Bench()
    bench.whole(1)
    bench.write(E | A)
    assert Status.READY not in status(bench.write(E | A))
    bench.write(E)
    bench.write(E | T, 2)
    bench.write(E | A, 2)
    report = bench.write(E | A, 2, [Decided(2, OK)])
    assert Status.RESULT_VALID in status(report)
    assert Status.RESULT_VALID in status(bench.write(E | A, 2))


def test_buffered_results_come_in_order_and_the_buffer_ends() -> None:
    bench = Bench()
    for number in range(1, BUFFERED + 1):
        bench.write(E | B)
        bench.write(E | B | T, number)
        report = bench.write(E | B, events=[Decided(number, OK)])
    assert report.pending == BUFFERED
    assert Status.READY not in status(report)
    toggles = []
    for number in range(1, BUFFERED + 1):
        report = bench.write(E | B)
        toggles.append(Status.RESULT_TOGGLE in status(report))
        assert (Status.RESULT_VALID in status(report), report.result_trigger_id) == (True, number)
        assert Status.RESULT_VALID not in status(bench.write(E | B | A))
    assert toggles == [True, False] * (BUFFERED // 2)


def test_without_enable_the_job_ends_unseen_and_counted() -> None:
    bench = Bench()
    bench.trigger(1)
    report = bench.write(Control(0))
    assert status(report) & (Status.BUSY | Status.TRIGGER_ACK | Status.RESULT_VALID) == Status(0)
    assert isinstance(bench.actions[1], Abandon)
    finished = bench.actions[2]
    assert isinstance(finished, Finished)
    assert (finished.shown, finished.finding.reason) == (False, Reason.ABORTED)
    report = bench.write(E, events=[Decided(1, OK)])
    assert (report.completed, report.error, report.verdict) == (1, 1, 0)


def test_without_enable_a_result_that_nobody_took_is_gone_for_good() -> None:
    bench = Bench()
    bench.whole(1)
    report = bench.write(Control(0))
    assert status(report) & (Status.READY | Status.TRIGGER_ACK | Status.RESULT_VALID | Status.ACQ_DONE) == Status(0)
    assert (report.verdict, report.result_trigger_id, report.acquired_id, report.pending) == (0, 0, 0, 0)
    report = bench.write(E)
    assert status(report) & (Status.READY | Status.RESULT_VALID) == Status.READY
    assert bench.whole(2).result_trigger_id == 2


def test_the_ticket_is_that_of_the_job_in_work() -> None:
    bench = Bench()
    assert bench.handshake.ticket == 0
    bench.trigger(41)
    assert bench.handshake.ticket == 1
    bench.write(E, 41, [Decided(1, OK)])
    assert bench.handshake.ticket == 0


def test_the_deadline_gives_an_error_and_a_late_verdict_is_thrown_away() -> None:
    bench = Bench()
    bench.trigger(1)
    report = bench.write(E, 1, [Overdue(1)])
    assert (report.verdict, report.reason, report.quality) == (0xC3C3, Reason.DEADLINE, Quality.DEADLINE_MISSED)
    assert report.ratio_x1000 == report.p_x10000 == 0xFFFF
    assert math.isnan(report.score)
    assert bench.actions[1] == Abandon(1)
    assert isinstance(bench.actions[2], Finished)
    assert bench.write(E, 1, [Decided(1, OK), Exposed(1)]).verdict == 0xC3C3
    assert bench.handshake.counters.completed == 1


def test_a_verdict_under_another_recipe_is_an_error() -> None:
    bench = Bench()
    bench.trigger(1)
    bench.condition = Condition(recipe=8, recipe_crc=1)
    finding = Finding(Verdict.OK, score=1.0, threshold=2.0, recipe=8, recipe_crc=1)
    report = bench.write(E, 1, [Decided(1, finding)])
    assert (report.verdict, report.quality, report.recipe_used) == (0xC3C3, Quality.RECIPE_MISMATCH, 7)


def test_a_fault_of_the_station_is_state_error_until_it_is_gone() -> None:
    bench = Bench(condition=Condition(fault=Reason.WORKER_CRASHED))
    report = bench.write(E)
    assert (report.state, report.error_code) == (State.ERROR, Reason.WORKER_CRASHED)
    assert status(report) & (Status.READY | Status.ERROR) == Status.ERROR
    bench.condition = ON
    report = bench.write(E)
    assert (report.state, Status.READY in status(report)) == (State.READY, True)


def test_no_recipe_is_initialized() -> None:
    bench = Bench(condition=Condition())
    assert bench.write(E).state == State.INITIALIZED


@pytest.mark.fault("T3")
@pytest.mark.parametrize(("last", "expected"), [(0xFFFFFFFF, [1, 2]), (0xFFFFFFFE, [0xFFFFFFFF, 1])])
def test_numbers_of_results_wrap_past_zero(last: int, expected: list[int]) -> None:
    bench = Bench(Handshake(boot_id=5, result_id=last))
    ids = []
    for number in (1, 2):
        ids.append(bench.whole(number, failure(Reason.INFERENCE, "")).result_id)
        bench.write(E | A)
    assert ids == expected


@pytest.mark.fault("T3")
def test_the_largest_trigger_id_is_one_like_any_other() -> None:
    bench = Bench()
    assert bench.whole(0xFFFFFFFF).result_trigger_id == 0xFFFFFFFF
    bench.write(E | A)
    assert bench.whole(1).result_trigger_id == 1
