"""What inspecting processes do wrong: real processes that die, hang, lie and babble, behind a running station."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from csflow.runtime.faults import Quality, Reason
from csflow.runtime.plc.process_image import Control, Report, Status
from csflow.runtime.plc.simulator.oracle import Misdeeds
from csflow.runtime.plc.states import Command, State
from csflow.runtime.plc.worker import process
from csflow.runtime.triggers import pipe_message as pipe

from .conftest import READY, MakeBench
from .rogue import PROGRAM, Rogues
from .running import RECIPES, Cell, Oracle, Plc, bit

OK, ERROR = 0x5AA5, 0xC3C3
E, X = Control.ENABLE, Control.EXECUTE


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    monkeypatch.setattr(process, "LAUNCH", PROGRAM)
    recipes = {key: replace(recipe, deadline_ms=20_000) for key, recipe in RECIPES.items()}
    made = Cell(tmp_path / "state", Rogues(), recipes, plc_timeout_ms=0, hang_ms=19_000)
    yield made
    made.close()


@pytest.fixture
def plc(cell: Cell) -> Iterator[Plc]:
    made = Plc(cell.modbus.port)
    made.ready()
    yield made
    made.close()


def rejected(plc: Plc, cell: Cell, what: str, reason: Reason) -> Report:
    """A part that comes to nothing, and then one that passes."""
    report = plc.part(1, part_id=what)
    assert (report.verdict, report.reason, report.result_trigger_id) == (ERROR, reason, 1)
    after = plc.part(2)
    assert (after.verdict, after.state in (State.READY, State.SINGLE)) == (OK, True)
    assert [done.trigger_id for done in cell.finished] == [1, 2], "one result each"
    return after


@pytest.mark.fault("G8")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_a_signal_in_mid_job(plc: Plc, cell: Cell, number: signal.Signals) -> None:
    after = rejected(plc, cell, f"signal {int(number)}", Reason.WORKER_CRASHED)
    assert after.worker_restarts == 1


@pytest.mark.fault("G8")
@pytest.mark.parametrize("what", ["exit 0", "exit 70", "close", "half"])
def test_an_end_in_mid_job(plc: Plc, cell: Cell, what: str) -> None:
    assert rejected(plc, cell, what, Reason.WORKER_CRASHED).worker_restarts == 1


@pytest.mark.fault("G8")
def test_a_hang_in_mid_job(plc: Plc, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only here: on a starved machine a worker that is well does not answer for as long.
    monkeypatch.setattr(cell.station._recipes._limits, "hang_s", 0.5)
    assert rejected(plc, cell, "hang", Reason.WORKER_HUNG).worker_restarts == 1


@pytest.mark.fault("G8")
def test_noise_in_mid_job(plc: Plc, cell: Cell) -> None:
    assert rejected(plc, cell, "noise", Reason.WORKER_CRASHED).worker_restarts == 1


@pytest.mark.fault("G4")
def test_no_memory_in_mid_job(plc: Plc, cell: Cell) -> None:
    assert rejected(plc, cell, "no memory", Reason.WORKER_CRASHED).worker_restarts == 1


@pytest.mark.fault("G1")
def test_a_cuda_error_that_stays(plc: Plc, cell: Cell) -> None:
    assert rejected(plc, cell, "CUDA 700", Reason.INFERENCE).worker_restarts == 1


@pytest.mark.fault("G6")
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no number", Reason.NOT_FINITE),
        ("zero", Reason.INTERNAL),
        ("all ones", Reason.NONE),
        ("above", Reason.INTERNAL),
    ],
)
def test_a_claim_without_evidence(plc: Plc, cell: Cell, what: str, reason: Reason) -> None:
    assert rejected(plc, cell, what, reason).worker_restarts == 0


def test_a_second_answer_changes_nothing(plc: Plc, cell: Cell) -> None:
    assert plc.part(1, part_id="twice").verdict == OK
    assert plc.part(2).result_trigger_id == 2
    assert len(cell.finished) == 2


def test_an_answer_about_another_part_is_none(plc: Plc, cell: Cell) -> None:
    report = plc.part(1, part_id="another's", deadline_ms=100)
    assert (report.verdict, report.reason) == (ERROR, Reason.DEADLINE)
    assert plc.part(2).verdict == OK
    assert len(cell.finished) == 2


@pytest.mark.fault("G2")
def test_a_storm_of_deaths_is_latched_until_reset(plc: Plc, cell: Cell) -> None:
    for number in range(1, 5):
        plc.ready()
        assert plc.part(number, part_id="exit 1").verdict == ERROR
    report = plc.until(lambda r: r.error_code == Reason.RESTART_LIMIT)
    assert (report.state, report.worker_restarts) == (State.ERROR, 3)
    beats = report.heartbeat
    assert plc.until(lambda r: r.heartbeat != beats).state == State.ERROR, "the controller is answered"
    plc.write(E | X, command=Command.RESET)
    plc.until(bit(Status.CMD_DONE))
    plc.write(E)
    assert plc.part(5).verdict == OK
    assert len(cell.finished) == 5


@pytest.mark.fault("G7")
def test_an_engine_that_becomes_slow_costs_results_and_no_memory(tmp_path: Path) -> None:
    oracle = Oracle(misdeeds=Misdeeds(late=1.0))
    cell = Cell(tmp_path / "state", oracle, plc_timeout_ms=0)
    plc = Plc(cell.modbus.port)
    try:
        plc.ready()
        for number in range(1, 9):
            report = plc.part(number, deadline_ms=20)
            assert (report.verdict, report.reason, report.quality) == (ERROR, Reason.DEADLINE, Quality.DEADLINE_MISSED)
        inspector = cell.station._recipes.running
        assert inspector is not None
        assert (inspector._open, cell.station._deadlines) == ({}, {}), "nothing waits for those that are over"
        object.__setattr__(oracle.misdeeds, "late", 0.0)
        assert plc.part(9, deadline_ms=5000).verdict == OK
        assert len(cell.finished) == 9
    finally:
        plc.close()
        cell.close()


@pytest.mark.fault("G3")
def test_no_memory_for_the_next_recipe_leaves_the_one_in_force(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.write(E | X, command=Command.PREPARE_RECIPE, argument=2)
    bench.scan()
    bench.workers[1].says.append(pipe.Failed(Reason.ENGINE, "no GPU memory for the plans: 96 MB needed"))
    bench.scan()
    report = bench.scan()
    assert Status.CMD_FAILED in Status(report.status)
    assert (report.error_code, report.recipe, report.state) == (Reason.ENGINE, 1, State.READY)
    bench.write(E)
    bench.write(E | Control.TRIGGER, 1)
    bench.workers[0].answer(bench.workers[0].asks()[-1])
    assert bench.scan().verdict == OK


@pytest.mark.fault("G5")
def test_a_gpu_that_falls_off_the_bus_is_latched_and_the_controller_is_answered(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=0)
    bench.ready()
    bench.trigger(1)
    bench.worker.says.append(pipe.Failed(Reason.INFERENCE, "the GPU has fallen off the bus"))
    report = bench.scan()
    assert (report.verdict, report.reason) == (ERROR, Reason.INFERENCE)
    bench.worker.says.append(pipe.Failed(Reason.ENGINE, "there is no GPU"))
    report = bench.scan()
    assert (report.state, report.error_code, len(bench.workers)) == (State.ERROR, Reason.ENGINE, 2)
    end, beats = time.monotonic() + 5, report.heartbeat
    while bench.scan().heartbeat == beats and time.monotonic() < end:
        time.sleep(0.01)
    assert bench.scan().heartbeat != beats
    bench.write(E | Control.RESULT_ACK, 1)
    bench.write(E | X, 1, command=Command.RESET)
    bench.scan()
    assert bench.ready().state == State.READY


@pytest.mark.fault("G10")
def test_a_start_that_takes_minutes_is_not_ready_and_is_told(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=0)
    begun, beats = time.monotonic(), bench.scan().heartbeat
    while time.monotonic() - begun < 0.4:
        report = bench.write(E | Control.TRIGGER if bench.scan().missed == 0 else E, 1)
        assert (report.state, report.recipe) == (State.INITIALIZED, 0)
        assert not report.status & (Status.READY | Status.RESULT_VALID)
        time.sleep(0.02)
    assert report.heartbeat > beats
    assert (report.missed, report.triggers, report.worker_restarts) == (1, 0, 0)
    bench.worker.says.append(READY)
    assert bench.write(E).state == State.READY


@pytest.mark.fault("G10")
def test_a_start_without_end_is_one_restart_each(make_bench: MakeBench) -> None:
    bench = make_bench(start_timeout_s=1)
    first = bench.worker
    end = time.monotonic() + 10
    while len(bench.workers) == 1 and time.monotonic() < end:
        bench.scan()
        time.sleep(0.02)
    assert first.end == "killed"
    assert bench.scan().error_code == Reason.WORKER_HUNG
