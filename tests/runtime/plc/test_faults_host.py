"""What the machine under the station does: clocks that jump, a process that stands still, a disk, a kill."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from csflow.runtime.faults import Quality, Reason
from csflow.runtime.plc.durable import Durable
from csflow.runtime.plc.process_image import Control, Status
from csflow.runtime.plc.simulator.rehearsal import CALM, rehearse
from csflow.runtime.plc.simulator.served import SERVED
from csflow.runtime.triggers import pipe_message as pipe

from .conftest import MakeBench
from .running import Cell, Oracle, Plc, bit

OK, ERROR = 0x5AA5, 0xC3C3
E = Control.ENABLE

STATION = """
import sys, threading
from pathlib import Path
from csflow.runtime.plc.simulator.oracle import OracleWorker
from tests_running import Cell, Oracle

class Thorough(OracleWorker):
    def _answer(self, ask, extra_s):
        super()._answer(ask, 0.3 if ask.part == "long" else extra_s)

class Start(Oracle):
    def __call__(self, recipe, wake, hold):
        made = super().__call__(recipe, wake, hold)
        made.__class__ = Thorough
        return made

cell = Cell(Path(sys.argv[1]), Start(), plc_timeout_ms=0)
print(cell.modbus.port, flush=True)
threading.Event().wait()
"""

COUNTER = """
import sys
from pathlib import Path
from csflow.runtime.plc.durable import RESERVED, Durable
from csflow.runtime.plc.events import Counters
durable = Durable(Path(sys.argv[1]), 1)
number = durable.first_result_id
while True:
    number += RESERVED // 8
    durable.note(number, 1 + number % 2, Counters(ok=number))
    while (durable.kept.result_id - number) % 2**32 > 2**31 or durable._saved.result_id < number:
        pass
    print(durable.kept.boot_id, number, flush=True)
"""


@pytest.mark.fault("T1")
def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, real = random.Random(4), time.time

    def jumping() -> float:
        return generator.choice([0.0, real() - 3600, real() + 3600, real(), 4_102_444_800.0])

    monkeypatch.setattr(time, "time", jumping)
    account = rehearse(60, SERVED["modbus"], seed=5, plan=CALM)
    assert account.good
    assert (account.decisions.total(), account.terminal["ERROR"]) == (60, 0)
    assert account.terminal["OK"] == account.decisions[""] > 0


@pytest.mark.fault("T2")
def test_an_answer_that_is_read_after_the_deadline_is_late(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=0)
    bench.ready()
    ask = bench.trigger(1, deadline_ms=30)
    bench.worker.answer(ask)  # in time; but the station stands still
    time.sleep(0.05)
    report = bench.scan()
    assert (report.verdict, report.reason, report.quality) == (ERROR, Reason.DEADLINE, Quality.DEADLINE_MISSED)
    assert (report.completed, report.ok) == (1, 0)


@pytest.fixture
def suspended(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A station in a process of its own, and its port."""
    path = Path(__file__).with_name("running.py")
    (tmp_path / "tests_running.py").write_text(path.read_text())
    command = [sys.executable, "-c", STATION, str(tmp_path / "state")]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def read_on(plc: Plc) -> None:
    for _ in range(1000):
        plc.link.read()


@pytest.mark.fault("T2")
def test_a_station_that_is_suspended_is_silent_and_goes_on(suspended: tuple[subprocess.Popen[str], int]) -> None:
    process, port = suspended
    with closing(Plc(port)) as plc:
        plc.ready()
        assert plc.part(1).verdict == OK
        plc.until(bit(Status.READY))
        plc.begin(2, part_id="long", deadline_ms=600)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(OSError, match="timed out"):
            read_on(plc)
        os.kill(process.pid, signal.SIGCONT)
        report = plc.until(bit(Status.RESULT_VALID))
        assert (report.result_trigger_id, report.verdict, report.reason) == (2, ERROR, Reason.DEADLINE)
        plc.ready()
        # Stopped before its worker had begun to wait, the station still owes part 2 its 0.3 s.
        assert plc.part(3, deadline_ms=20_000).verdict == OK
        beats = plc.link.read().heartbeat
        plc.until(lambda r: r.heartbeat != beats)


@pytest.mark.fault("S2")
def test_a_state_that_cannot_be_written_is_a_warning_and_inspection_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with closing(Cell(tmp_path / "state", Oracle(), plc_timeout_ms=0)) as cell, closing(Plc(cell.modbus.port)) as plc:
        monkeypatch.setattr("csflow.runtime.plc.durable.write_atomic", read_only)
        monkeypatch.setattr("csflow.runtime.plc.durable.SAVE_S", 0.0)
        cell.station._durable._next_s = 0.0
        plc.ready()
        assert plc.part(1).verdict == OK
        report = plc.until(lambda r: r.warning_code == Reason.DISK)
        assert report.status & Status.WARNING
        assert plc.part(2).verdict == OK


@pytest.mark.fault("S3")
def test_a_station_that_is_killed_uses_no_number_twice(tmp_path: Path) -> None:
    generator, used, boots = random.Random(7), 0, set()
    for _ in range(8):
        command = [sys.executable, "-c", COUNTER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(generator.random() * 0.05)
            process.kill()
            lines += process.stdout.readlines()
        told = [line.split() for line in lines if line.endswith("\n")]
        numbers = [int(number) for _, number in told]
        assert numbers
        assert numbers[0] > used, "a number that was used before the kill"
        used = numbers[-1]
        boots |= {boot for boot, _ in told}
        assert json.loads((tmp_path / "station.json").read_bytes())["kept"]["result_id"] >= used
    assert len(boots) == 8
    durable = Durable(tmp_path, 1)
    assert (durable.words, durable.first_result_id >= used) == ("", True)
    durable.close()


@pytest.mark.fault("T3")
def test_a_heartbeat_wraps(make_bench: MakeBench) -> None:
    bench = make_bench(plc_timeout_ms=0)
    bench.ready()
    bench.station._heartbeat = 0xFFFF
    seen, end = set(), time.monotonic() + 10
    while 1 not in seen and time.monotonic() < end:
        bench.worker.says += [pipe.Pong(ping.number, "") for ping in bench.worker.pings()[-1:]]
        seen.add(bench.scan().heartbeat)
        time.sleep(0.02)
    assert {0, 1} <= seen
    assert max(seen) <= 0xFFFF
