"""Commands in the handshake: what each does, and in which state it may."""

from __future__ import annotations

import pytest

from csflow.runtime.faults import Reason
from csflow.runtime.plc.events import (
    CommandEnded,
    Decided,
    Execute,
)
from csflow.runtime.plc.handshake import Handshake
from csflow.runtime.plc.process_image import Control, Report, Status
from csflow.runtime.plc.states import Command, State

from .handshake_bench import OK, Bench, E, T, X, status


class TestCommands:
    def order(self, bench: Bench, command: int, argument: int = 0) -> Report:
        bench.write(E)
        return bench.write(E | X, command=command, argument=argument)

    def test_prepare_recipe_is_done_elsewhere_and_triggers_go_on(self) -> None:
        bench = Bench()
        report = self.order(bench, Command.PREPARE_RECIPE, 12)
        assert bench.actions == [Execute(Command.PREPARE_RECIPE, 12)]
        assert status(report) & (Status.CMD_EXECUTING | Status.READY) == Status.CMD_EXECUTING | Status.READY
        report = bench.write(E | X, events=[CommandEnded()])
        assert Status.CMD_DONE in status(report)
        assert Status.CMD_DONE not in status(bench.write(E))

    @pytest.mark.parametrize("ended", [Reason.NONE, Reason.UNKNOWN_RECIPE])
    def test_the_end_of_a_command_is_no_answer_to_a_later_one(self, ended: Reason) -> None:
        bench = Bench()
        self.order(bench, Command.PREPARE_RECIPE, 2)
        assert Status.CMD_EXECUTING in status(bench.write(E))
        bench.actions.clear()
        report = bench.write(E | X, command=Command.PREPARE_RECIPE, argument=3)
        both = Status.CMD_EXECUTING | Status.CMD_FAILED
        assert (status(report) & both, report.error_code, bench.actions) == (both, Reason.BUSY, [])
        report = bench.write(E | X, events=[CommandEnded(ended)])
        told = Status.CMD_EXECUTING | Status.CMD_FAILED | Status.CMD_DONE
        assert (status(report) & told, report.error_code) == (Status.CMD_FAILED, Reason.BUSY)
        report = bench.write(E)
        assert (status(report) & told, report.error_code) == (Status(0), 0)
        assert Status.CMD_EXECUTING in status(self.order(bench, Command.PREPARE_RECIPE, 3))
        assert bench.actions[-1:] == [Execute(Command.PREPARE_RECIPE, 3)]

    def test_a_command_whose_asker_let_go_ends_unseen_and_the_next_may_begin_at_once(self) -> None:
        bench = Bench()
        self.order(bench, Command.SELF_TEST)
        assert Status.READY not in status(bench.write(E))
        report = bench.write(E | X, events=[CommandEnded(Reason.SELF_TEST)], command=Command.PREPARE_RECIPE, argument=3)
        assert Status.CMD_FAILED not in status(report)
        assert Status.CMD_EXECUTING in status(report)
        assert bench.actions[-1] == Execute(Command.PREPARE_RECIPE, 3)

    def test_a_command_that_fails_says_why(self) -> None:
        bench = Bench()
        self.order(bench, Command.PREPARE_RECIPE, 99)
        report = bench.write(E | X, events=[CommandEnded(Reason.UNKNOWN_RECIPE)])
        assert Status.CMD_FAILED in status(report)
        assert (report.error_code, report.state) == (Reason.UNKNOWN_RECIPE, State.READY)
        assert bench.write(E).error_code == 0

    def test_an_end_that_nobody_waits_for_ends_nothing(self) -> None:
        bench = Bench()
        report = bench.write(E, events=[CommandEnded()])
        assert status(report) & (Status.CMD_DONE | Status.CMD_FAILED) == Status(0)
        self.order(bench, Command.PREPARE_RECIPE, 99)
        bench.write(E | X, events=[CommandEnded(Reason.UNKNOWN_RECIPE)])
        assert Status.CMD_FAILED in status(bench.write(E | X, events=[CommandEnded()]))

    @pytest.mark.parametrize("command", [0, 9, 77, Command.SELECT_AUTOMATIC])
    def test_what_is_not_possible_is_refused(self, command: int) -> None:
        bench = Bench()
        report = self.order(bench, command)
        assert Status.CMD_FAILED in status(report)
        assert report.error_code == Reason.REFUSED_COMMAND
        assert bench.actions == []

    def test_abort_ends_the_job_with_a_result(self) -> None:
        bench = Bench()
        bench.trigger(1)
        report = bench.write(E | T | X, 1, command=Command.ABORT)
        assert (report.verdict, report.reason) == (0xC3C3, Reason.ABORTED)
        assert status(report) & (Status.CMD_DONE | Status.RESULT_VALID) == Status.CMD_DONE | Status.RESULT_VALID

    def test_stop_waits_for_the_job(self) -> None:
        bench = Bench()
        bench.trigger(1)
        assert Status.CMD_EXECUTING in status(bench.write(E | X, 1, command=Command.STOP))
        report = bench.write(E | X, 1, [Decided(1, OK)], command=Command.STOP)
        assert (report.verdict, Status.CMD_DONE in status(report)) == (0x5AA5, True)

    def test_halt_and_reset(self) -> None:
        bench = Bench()
        report = self.order(bench, Command.HALT)
        assert (report.state, status(report)) == (State.HALTED, Status.CMD_DONE | Status.RECIPE_READY)
        assert Status.READY not in status(bench.write(E))
        report = self.order(bench, Command.RESET)
        assert bench.actions == [Execute(Command.RESET, 0)]
        assert (report.state, Status.READY in status(report)) == (State.READY, False)
        report = bench.write(E, events=[CommandEnded()])
        assert Status.READY in status(report)

    def test_without_automatic_the_controller_selects_it(self) -> None:
        bench = Bench(Handshake(boot_id=5, automatic=False))
        assert bench.write(E).state == State.PREOPERATIONAL
        report = self.order(bench, Command.SELECT_AUTOMATIC)
        assert (report.state, Status.CMD_DONE in status(report)) == (State.READY, True)
        self.order(bench, Command.RESET)
        assert bench.write(E, events=[CommandEnded()]).state == State.PREOPERATIONAL

    def test_no_trigger_is_taken_during_a_self_test(self) -> None:
        bench = Bench()
        self.order(bench, Command.SELF_TEST)
        report = bench.write(E | T | X, 1)
        assert (report.missed, report.triggers) == (1, 0)

    def test_a_second_command_waits_for_the_end_of_the_first(self) -> None:
        bench = Bench()
        self.order(bench, Command.PREPARE_RECIPE, 1)
        bench.write(E)
        bench.write(E | X, command=Command.PREPARE_RECIPE, argument=2)
        assert bench.actions == [Execute(Command.PREPARE_RECIPE, 1)]


def test_offline_is_not_ready() -> None:
    bench = Bench()
    report = bench.write(E | Control.SET_OFFLINE)
    assert status(report) & (Status.ONLINE | Status.READY) == Status(0)
