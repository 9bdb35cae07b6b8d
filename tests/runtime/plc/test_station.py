"""The station with workers that are silent, dead, hung, poisoned or slow."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc import station
from csflow.runtime.plc.process_image import Control, Status
from csflow.runtime.plc.states import Command, State
from csflow.runtime.plc.worker import inspector
from csflow.runtime.triggers import pipe_message as pipe

from .conftest import READY, MakeBench

E, X = Control.ENABLE, Control.EXECUTE


def test_a_part_from_trigger_to_result(make_bench: MakeBench) -> None:
    bench = make_bench()
    assert bench.scan().state == State.INITIALIZED
    report = bench.ready()
    assert (report.state, report.recipe) == (State.READY, 1)
    assert report.recipe_crc != 0
    ask = bench.trigger(42, part_id="K-7", deadline_ms=500)
    assert (ask.part, ask.deadline_ms) == ("K-7", 500)
    bench.worker.answer(ask)
    report = bench.scan()
    assert (report.verdict, report.result_trigger_id, report.recipe_used) == (0x5AA5, 42, 1)
    assert (report.acquisition_ms, report.processing_ms, report.total_ms) == (1, 4, 5)
    assert (report.peak_x, report.peak_y, report.ratio_x1000) == (3, 4, 500)
    assert report.recipe_crc_used == report.recipe_crc
    assert len(bench.finished) == 1


def test_nothing_is_asked_before_the_golden_frames_passed(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.write(E)
    report = bench.write(E | Control.TRIGGER, 1)
    assert Status.MISSED_TRIGGER in Status(report.status)
    assert bench.worker.asks() == []


def test_a_silent_worker_is_an_error_by_the_deadline(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    begun = time.monotonic()
    ask = bench.trigger(1, deadline_ms=30)
    while not (report := bench.scan()).verdict:
        time.sleep(0.001)
    assert 0.03 <= time.monotonic() - begun < 1.0
    assert (report.verdict, report.reason, report.quality) == (0xC3C3, Reason.DEADLINE, Quality.DEADLINE_MISSED)
    bench.worker.answer(ask)
    assert bench.scan().verdict == 0xC3C3, "a late answer changes nothing"


@pytest.mark.fault("G8")
def test_a_worker_that_dies_with_a_part_is_an_error_and_comes_back(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.trigger(1)
    bench.worker.lost = "the worker has closed its pipe"
    report = bench.scan()
    assert (report.verdict, report.reason) == (0xC3C3, Reason.WORKER_CRASHED)
    assert (report.state, report.error_code, report.worker_restarts) == (State.ERROR, Reason.WORKER_CRASHED, 1)
    assert len(bench.workers) == 2
    bench.worker.says.append(READY)
    bench.write(E | Control.RESULT_ACK)
    report = bench.write(E)
    assert (report.state, Status.READY in Status(report.status)) == (State.READY, True)


def test_a_worker_that_says_why_it_ends(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.worker.says.append(pipe.Failed(Reason.CAMERA_LOST, "the camera is gone"))
    assert bench.scan().error_code == Reason.CAMERA_LOST


def test_a_worker_that_takes_nothing_is_killed(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    first = bench.worker
    first.full = True
    bench.write(E)
    bench.write(E | Control.TRIGGER, 1)
    report = bench.scan()
    assert (report.verdict, report.reason) == (0xC3C3, Reason.WORKER_HUNG)
    assert first.end == "killed"


def test_a_worker_that_hangs_is_killed_and_replaced(make_bench: MakeBench) -> None:
    bench = make_bench(hang_ms=100)
    bench.ready()
    first, end = bench.worker, time.monotonic() + 5
    while len(bench.workers) == 1 and time.monotonic() < end:
        bench.scan()
        time.sleep(0.005)
    assert first.end == "killed"
    assert bench.scan().error_code == Reason.WORKER_HUNG


def test_the_heartbeat_stands_still_while_a_ready_worker_does_not_answer(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(inspector, "PING_S", 0.02)
    monkeypatch.setattr(inspector, "PONG_S", 0.02)
    bench = make_bench(hang_ms=60_000, plc_timeout_ms=0)
    bench.ready()

    answered = 0

    def answer() -> None:
        nonlocal answered
        for ping in bench.worker.pings()[-1:]:
            answered = ping.number
            bench.worker.says.append(pipe.Pong(answered, ""))

    def beats(number: int) -> None:
        before, end = bench.scan().heartbeat, time.monotonic() + 30.0
        while bench.scan().heartbeat < before + number and time.monotonic() < end:
            answer()
            time.sleep(0.002)
        assert bench.scan().heartbeat >= before + number

    beats(4)
    while bench.worker.pings()[-1].number <= answered:
        bench.scan()
        time.sleep(0.002)
    time.sleep(0.03)
    before = bench.scan().heartbeat
    for _ in range(4):
        time.sleep(0.012)
        assert bench.scan().heartbeat == before
    answer()
    beats(3)


@pytest.mark.fault("G2")
def test_three_restarts_then_latched_until_reset(make_bench: MakeBench) -> None:
    bench = make_bench()
    for _ in range(4):
        bench.worker.lost = "gone"
        report = bench.scan()
    assert len(bench.workers) == 4
    assert (report.state, report.error_code) == (State.ERROR, Reason.RESTART_LIMIT)
    bench.scan()
    assert len(bench.workers) == 4
    bench.write(E | X, command=Command.RESET)
    report = bench.write(E)
    assert len(bench.workers) == 5
    assert bench.ready().state == State.READY


@pytest.mark.parametrize("reason", [Reason.BUNDLE, Reason.NOT_CALIBRATED, Reason.UNVERIFIED, Reason.SELF_TEST])
def test_what_no_restart_mends_is_latched_at_once(make_bench: MakeBench, reason: Reason) -> None:
    bench = make_bench()
    bench.worker.says.append(pipe.Failed(reason, "in words"))
    report = bench.scan()
    assert (report.state, report.error_code, len(bench.workers)) == (State.ERROR, reason, 1)


def test_the_camera_that_is_away_is_a_warning(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.worker.says.append(pipe.Pong(1, "unplugged"))
    report = bench.scan()
    assert (report.warning_code, Status.WARNING in Status(report.status)) == (Reason.CAMERA_LOST, True)


def test_a_self_test_passes_or_latches(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.write(E | X, command=Command.SELF_TEST)
    bench.scan()
    assert isinstance(bench.worker.heard[-1], pipe.SelfTest)
    assert Status.READY not in Status(bench.scan().status)
    bench.worker.says.append(READY)
    assert Status.CMD_DONE in Status(bench.scan().status)
    bench.write(E)
    bench.write(E | X, command=Command.SELF_TEST)
    bench.worker.says.append(pipe.Failed(Reason.SELF_TEST, "the golden frames differ"))
    report = bench.scan()
    assert Status.CMD_FAILED in Status(report.status)
    assert (report.state, report.error_code) == (State.ERROR, Reason.SELF_TEST)


def test_a_controller_that_is_gone_loses_control_and_its_part(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=50)
    bench.ready()
    bench.trigger(1)
    time.sleep(0.07)
    report = bench.scan()
    assert (report.warning_code, report.completed, report.error) == (Reason.CLIENT_LOST, 1, 1)
    assert Status(report.status) & (Status.BUSY | Status.READY) == Status(0)
    assert bench.station.exchange.holder == ""
    assert bench.station.exchange.order("another", lambda orders: orders)


def test_a_heartbeat_that_stands_still_is_no_controller(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=50)
    bench.ready()

    def until(ready: bool, beats: Iterator[int]) -> None:
        end = time.monotonic() + 60.0
        while (Status.READY in Status(bench.write(E, heartbeat=next(beats)).status)) != ready:
            assert time.monotonic() < end
            time.sleep(0.002)

    until(False, itertools.repeat(7))
    # Who goes on writing it is not enabled again; a machine that is held up may first have lost it by silence alone.
    end, refused = time.monotonic() + 60.0, 0
    while refused < 30:
        ready = Status.READY in Status(bench.write(E, heartbeat=7).status)
        refused = 0 if ready else refused + 1
        assert time.monotonic() < end
    until(True, itertools.count(8))


def test_what_a_worker_says_after_its_end_is_not_of_the_next_one(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.worker.says += [pipe.Failed(Reason.CAMERA_LOST, "the camera is gone"), READY, pipe.Pong(9, "")]
    bench.scan()
    assert len(bench.workers) == 2
    assert Status.READY not in Status(bench.write(E).status)
    bench.ready()
    assert Status.READY in Status(bench.scan().status)


@pytest.mark.fault("C13")
def test_an_answer_from_before_the_trigger_is_no_evidence(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    ask = bench.trigger(1)
    bench.worker.answer(pipe.Ask(ask.id, ask.since_ns - 5_000_000, 0))
    report = bench.scan()
    assert (report.verdict, report.quality) == (0xC3C3, Quality.FRAME_STALE)


def test_the_process_needs_no_library_of_vision() -> None:
    code = """
import sys
import csflow.runtime.plc.station, csflow.runtime.plc.commissioning.examine, csflow.runtime.plc.adapters.modbus
heavy = {"cv2", "torch", "openvino", "tensorrt", "cuda", "pycuda"} & {name.split(".")[0] for name in sys.modules}
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"


def test_a_camera_that_came_back_is_counted(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    for number, away in enumerate(["", "unplugged", "unplugged", "", "unplugged", ""], 1):
        bench.worker.says.append(pipe.Pong(number, away))
        bench.scan()
    assert bench.scan().camera_reconnects == 2


@pytest.mark.fault("G8")
def test_a_worker_that_died_before_it_was_asked_is_told_as_dead(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.ready()
    bench.worker.broken = True
    bench.write(E | Control.TRIGGER, 1)
    report = bench.scan()
    assert (report.verdict, report.reason) == (Verdict.ERROR.code, Reason.WORKER_CRASHED)
