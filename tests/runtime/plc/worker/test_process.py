"""A real worker process: `csflow run` behind a pipe, asked, killed and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import SourceLost
from csflow.runtime.faults import Reason
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.settings import Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.states import Command, State
from csflow.runtime.plc.station import Station
from csflow.runtime.plc.worker import process
from csflow.runtime.plc.worker.process import WorkerProcess, run_arguments, start_worker
from csflow.runtime.triggers import pipe_message as pipe

FAKE = ("--backend", "fake", "--warm-up", "0")
LONG_S = 60.0


@pytest.fixture
def recipe(calibrated_bundle: Bundle, tmp_path: Path) -> Recipe:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(40):
        grey = 204 if number % 4 == 3 else 51
        Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(folder / f"{number:02}.png")
    return Recipe(str(calibrated_bundle.path), str(folder), number=1, options=FAKE)


def hear(worker: WorkerProcess, kind: type[pipe.Message]) -> pipe.Message:
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        for message in worker.receive():
            if isinstance(message, kind):
                return message
        time.sleep(0.005)
    raise AssertionError(f"no {kind.__name__}")


@pytest.fixture
def worker(recipe: Recipe) -> Iterator[WorkerProcess]:
    made = WorkerProcess(run_arguments(recipe), lambda: None)
    yield made
    made.kill()
    assert made.join(LONG_S)


def test_it_gets_ready_answers_and_ends_with_its_pipe(worker: WorkerProcess) -> None:
    ready = hear(worker, pipe.Ready)
    assert isinstance(ready, pipe.Ready)
    assert ready.engine.startswith("fake")
    worker.send(pipe.Ask("1", time.monotonic_ns(), 10_000, "K-1"))
    answer = hear(worker, pipe.Answer)
    assert isinstance(answer, pipe.Answer)
    assert (answer.id, answer.part) == ("1", "K-1")
    worker.close()
    assert worker.join(LONG_S)
    with pytest.raises(SourceLost):
        worker.receive()


def test_a_bundle_that_is_not_there_is_told_in_words(recipe: Recipe, tmp_path: Path) -> None:
    missing = Recipe(str(tmp_path / "none.csflow"), recipe.camera, number=1, options=FAKE)
    worker = WorkerProcess(run_arguments(missing), lambda: None)
    failed = hear(worker, pipe.Failed)
    assert isinstance(failed, pipe.Failed)
    assert failed.reason == Reason.BUNDLE
    assert "none.csflow" in failed.words
    assert worker.join(LONG_S)


def flood(worker: WorkerProcess) -> None:
    for number in range(100_000):
        worker.send(pipe.Ping(number))


def test_one_that_is_stopped_takes_only_so_much(worker: WorkerProcess) -> None:
    hello = hear(worker, pipe.Hello)
    assert isinstance(hello, pipe.Hello)
    os.kill(hello.process, signal.SIGSTOP)
    with pytest.raises(SourceLost, match=r"takes no message|does not empty"):
        flood(worker)


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_one_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    before = open_files()
    monkeypatch.setattr(process.subprocess, "Popen", refused)
    with pytest.raises(BlockingIOError):
        WorkerProcess([], lambda: None)
    assert open_files() <= before


def test_one_that_takes_no_greeting_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(worker: WorkerProcess, _: pipe.Message) -> None:
        made.append(worker)
        raise SourceLost("the worker takes no message")

    made: list[WorkerProcess] = []
    before = open_files()
    monkeypatch.setattr(process, "LAUNCH", "import time; time.sleep(600)")
    monkeypatch.setattr(WorkerProcess, "send", refused)
    with pytest.raises(SourceLost):
        WorkerProcess([], lambda: None)
    assert made[0].join(LONG_S)
    assert made[0].ended
    assert open_files() <= before


class Line:
    """A station with its real worker, run by hand."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.processes: list[int] = []
        recipes = {"1": recipe, "2": replace(recipe, number=2)}
        settings = Settings(StationSettings(1, state=str(folder), plc_timeout_ms=0), recipes)
        self.station = Station(settings, self._start)
        self._orders = Orders()

    def _start(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> WorkerProcess:
        made = start_worker(recipe, wake, hold)
        assert isinstance(made, WorkerProcess)
        self.processes.append(made.process)
        return made

    def until(self, what: Callable[[Report], bool], control: Control, trigger_id: int = 0, command: int = 0) -> Report:
        orders = Orders(control, 0, trigger_id, command, argument=2, deadline_ms=60_000)
        assert self.station.exchange.order("test", lambda _: orders)
        end = time.monotonic() + LONG_S
        while time.monotonic() < end:
            self.station.scan()
            if what(self.station.exchange.report):
                return self.station.exchange.report
            self.station.exchange.wait(0.02)
        raise AssertionError(self.station.exchange.report)


def bit(status: Status) -> Callable[[Report], bool]:
    return lambda report: bool(report.status & status)


@pytest.fixture
def line(recipe: Recipe, tmp_path: Path) -> Iterator[Line]:
    made = Line(recipe, tmp_path / "state")
    yield made
    made.station.close()


@pytest.mark.fault("G8", "G4")
def test_a_station_with_a_real_worker_which_is_killed_with_a_part(line: Line) -> None:
    line.until(bit(Status.READY), Control.ENABLE)
    report = line.until(bit(Status.RESULT_VALID), Control.ENABLE | Control.TRIGGER, 7)
    assert (report.result_trigger_id, report.verdict, report.quality) == (7, 0x5AA5, 0)
    line.until(lambda r: not r.status & Status.RESULT_VALID, Control.ENABLE | Control.RESULT_ACK)
    line.until(bit(Status.READY), Control.ENABLE)
    os.kill(line.processes[0], signal.SIGSTOP)
    line.until(bit(Status.BUSY), Control.ENABLE | Control.TRIGGER, 8)
    os.kill(line.processes[0], signal.SIGKILL)
    report = line.until(bit(Status.RESULT_VALID), Control.ENABLE)
    assert (report.result_trigger_id, report.verdict) == (8, 0xC3C3)
    assert (report.reason, report.state, report.worker_restarts) == (Reason.WORKER_CRASHED, State.ERROR, 1)
    line.until(lambda r: not r.status & Status.RESULT_VALID, Control.ENABLE | Control.RESULT_ACK)
    report = line.until(bit(Status.READY), Control.ENABLE)
    assert (report.state, report.error_code) == (State.READY, 0)
    assert len(line.processes) == 2


def test_a_recipe_takes_the_camera_over(line: Line) -> None:
    line.until(bit(Status.READY), Control.ENABLE)
    prepare = Control.ENABLE | Control.EXECUTE
    line.until(bit(Status.CMD_EXECUTING), prepare, command=Command.PREPARE_RECIPE)
    away = line.until(lambda r: not r.status & Status.READY, prepare, command=Command.PREPARE_RECIPE)
    begun = time.monotonic()
    report = line.until(bit(Status.CMD_DONE), prepare, command=Command.PREPARE_RECIPE)
    print(f"recipe swap {1e3 * (time.monotonic() - begun):.0f} ms")
    assert (away.recipe, report.recipe, bool(report.status & Status.READY)) == (1, 2, True)
    assert len(line.processes) == 2
    report = line.until(bit(Status.RESULT_VALID), Control.ENABLE | Control.TRIGGER, 9)
    assert (report.recipe_used, report.verdict) == (2, 0x5AA5)
