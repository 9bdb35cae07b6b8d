"""Recipes that come and go: prepared beside the running one, swapped between parts, refused in words."""

from __future__ import annotations

import time

import pytest

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Control, Status
from csflow.runtime.plc.settings import Recipe
from csflow.runtime.plc.states import Command, State
from csflow.runtime.triggers import pipe_message as pipe

from .conftest import READY, Bench, MakeBench

E, X = Control.ENABLE, Control.EXECUTE


class TestRecipes:
    def prepare(self, bench: Bench, number: int) -> None:
        bench.write(E)
        bench.write(E | X, command=Command.PREPARE_RECIPE, argument=number)

    def test_the_next_one_is_prepared_beside_the_running_one(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        self.prepare(bench, 2)
        bench.scan()
        assert [w.recipe.number for w in bench.workers] == [1, 2]
        report = bench.scan()
        assert (report.recipe, Status.READY in Status(report.status)) == (1, True)
        assert bench.worker.hold
        bench.workers[0].lingers = True
        bench.worker.says.append(pipe.Held())
        report = bench.scan()
        assert bench.workers[0].end == "closed"
        assert Status(report.status) & (Status.READY | Status.CMD_EXECUTING) == Status.CMD_EXECUTING
        assert bench.worker.heard == [], "the camera is not free yet"
        bench.workers[0].lingers = False
        bench.scan()
        assert bench.worker.heard == [pipe.Open()]
        bench.worker.says.append(READY)
        report = bench.scan()
        assert (report.recipe, Status.CMD_DONE in Status(report.status)) == (2, True)
        assert Status.READY in Status(report.status)

    @pytest.mark.fault("M8")
    def test_a_trigger_that_crosses_the_fall_of_ready_is_taken_by_the_one_in_force(
        self, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = make_bench()
        monkeypatch.setattr("csflow.runtime.plc.recipes.CROSSING_S", 0.1)
        bench.ready()
        self.prepare(bench, 2)
        bench.scan()
        bench.workers[1].says.append(pipe.Held())
        assert not bench.scan().status & Status.READY
        bench.write(E | Control.TRIGGER, 7)
        bench.workers[0].answer(bench.workers[0].asks()[-1])
        report = bench.write(E, 7)
        assert (report.verdict, report.recipe_used, report.missed) == (0x5AA5, 1, 0)
        bench.write(E | Control.RESULT_ACK, 7)
        bench.write(E, 7)
        report = bench.write(E | Control.TRIGGER, 8)
        assert (report.missed, report.refused_id) == (1, 8), "READY was not offered again"
        time.sleep(0.11)
        bench.scan()
        assert bench.workers[0].end == "closed"

    @pytest.mark.fault("M8")
    def test_it_waits_for_the_part_in_work(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        ask = bench.trigger(1)
        self.prepare(bench, 2)
        bench.scan()
        bench.workers[1].says.append(pipe.Held())
        assert bench.scan().recipe == 1
        bench.workers[0].answer(ask)
        report = bench.scan()
        assert (report.verdict, report.recipe_used) == (0x5AA5, 1)
        bench.scan()
        bench.workers[1].says.append(READY)
        assert bench.scan().recipe == 2

    def test_one_that_fails_is_refused_in_words_and_the_running_one_stays(
        self, make_bench: MakeBench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = make_bench()
        bench.ready()
        self.prepare(bench, 2)
        bench.scan()
        bench.workers[1].says.append(pipe.Failed(Reason.NOT_CALIBRATED, "no thresholds: csflow calibrate"))
        bench.scan()
        report = bench.scan()
        assert Status.CMD_FAILED in Status(report.status)
        assert (report.error_code, report.recipe, report.state) == (Reason.NOT_CALIBRATED, 1, State.READY)
        assert "recipe 2 was refused: no thresholds: csflow calibrate" in caplog.text
        assert report.worker_restarts == 0

    def test_one_that_does_not_get_the_camera_is_in_error(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        self.prepare(bench, 2)
        bench.scan()
        bench.worker.says.append(pipe.Held())
        bench.scan()
        bench.worker.says.append(pipe.Failed(Reason.CAMERA_LOST, "no such camera"))
        report = bench.scan()
        assert (report.state, report.error_code) == (State.ERROR, Reason.CAMERA_LOST)
        assert Status.CMD_FAILED in Status(report.status)
        assert [w.hold for w in bench.workers] == [False, True, False]

    def test_one_that_is_not_there(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        self.prepare(bench, 9)
        report = bench.scan()
        assert (report.error_code, report.recipe) == (Reason.UNKNOWN_RECIPE, 1)

    def test_unprepare(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        bench.write(E | X, command=Command.UNPREPARE_RECIPE)
        report = bench.scan()
        assert (report.state, report.recipe) == (State.INITIALIZED, 0)
        assert bench.workers[0].end == "closed"

    @pytest.mark.fault("M8")
    def test_the_one_in_force_survives_a_restart(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.ready()
        self.prepare(bench, 2)
        bench.scan()
        bench.worker.says.append(pipe.Held())
        bench.scan()
        bench.worker.says.append(READY)
        before = bench.scan()
        bench.station.close()
        again = make_bench()
        assert [w.recipe.number for w in again.workers] == [2]
        after = again.scan()
        assert after.boot_id not in (0, before.boot_id)

    @pytest.mark.parametrize(("number", "code"), [(1, 0x3C5A), (2, 0x5AA5)])
    def test_doubt_is_told_as_the_recipe_says(self, make_bench: MakeBench, number: int, code: int) -> None:
        recipes = {"1": Recipe("a.csflow", "0", uncertain="reject" if number == 1 else "accept")}
        bench = make_bench(recipes)
        bench.ready()
        bench.worker.answer(bench.trigger(1), Verdict.UNCERTAIN, score=1.7)
        assert bench.scan().verdict == code
