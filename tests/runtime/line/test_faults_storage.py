"""Faults of storage, S1 to S5, one test each: the result, the reason, the counts, the recovery."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import CALIBRATION, Bundle
from csflow.runtime.cli import logs
from csflow.runtime.detector import Detector
from csflow.runtime.errors import BundleError, CalibrationError, SinkError
from csflow.runtime.line.outputs import OutputOptions, open_outputs
from csflow.runtime.line.stream import run_stream
from csflow.runtime.sink import OutputReport
from csflow.runtime.sinks import log as log_sink
from csflow.runtime.sinks.log import LogSink
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.types import Frame, Result, Verdict

GOOD, BAD = (np.full((64, 64, 3), grey, dtype=np.uint8) for grey in (51, 204))
PARTS = 12


class Failing:
    """A system call that fails from its `first` call on, `times` times, when the outputs' threads make it."""

    def __init__(self, original: Callable[..., Any], error: int, first: int, times: int) -> None:
        self._original, self._error, self._range = original, error, range(first, first + times)
        self.calls = self.failures = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not threading.current_thread().name.startswith("csflow-output"):
            return self._original(*arguments, **options)
        call, self.calls = self.calls, self.calls + 1
        if call in self._range:
            self.failures += 1
            raise OSError(self._error, os.strerror(self._error))
        return self._original(*arguments, **options)


@pytest.fixture
def detector(calibrated_bundle: Bundle) -> Iterator[Detector]:
    with Detector.open(calibrated_bundle.path, "fake") as opened:
        yield opened


def inspect(detector: Detector, folder: Path, **options: Any) -> tuple[list[Result], dict[str, OutputReport]]:
    """Run good and bad parts in turn with every file output that may be missing; the verdicts and the reports."""
    chosen: dict[str, Any] = {
        "results": str(folder / "r.jsonl"),
        "results_policy": "drop",
        "csv_file": str(folder / "t.csv"),
        "save": str(folder / "pictures"),
        "save_rule": "all",
        "lines": False,
    }
    source, seen = FakeSource([GOOD, BAD] * (PARTS // 2)), MemorySink()
    outputs = open_outputs(OutputOptions(**(chosen | options)), detector, [source])
    run_stream(source, detector, [seen, outputs])
    return seen.results, {report.name.split()[0]: report for report in outputs.reports()}


def assert_inspected(results: list[Result]) -> None:
    assert [r.verdict for r in results] == [Verdict.OK, Verdict.NOK] * (PARTS // 2)


def assert_whole(folder: Path, reports: dict[str, OutputReport]) -> None:
    """What the reports call written is there and whole, and nothing else is."""
    assert all(r.written + r.failed + r.dropped == PARTS and r.waiting == 0 for r in reports.values())
    lines = (folder / "r.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == reports["results"].written
    rows = (folder / "t.csv").read_text().splitlines()
    assert {row.count(",") for row in rows} == {rows[0].count(",")}
    assert len(rows) - 1 == reports["table"].written
    pictures = list((folder / "pictures").iterdir())
    # A picture whose rename could not be synced is there, whole, and not called written.
    assert 0 <= len(pictures) - reports["pictures"].written <= reports["pictures"].failed
    for path in pictures:
        Image.open(path).load()


POINTS = ("write", "open", "fsync", "replace")
FAULTS = [
    *((errno.ENOSPC, name, first) for name in POINTS for first in (0, 5)),
    *((error, name, 3) for error in (errno.EROFS, errno.EIO) for name in ("write", "fsync")),
]


@pytest.mark.fault("S1", "S2")
@pytest.mark.parametrize(("error", "name", "first"), FAULTS)
def test_s1_s2_a_disk_that_fails_costs_what_it_did_not_take_and_nothing_else(
    error: int, name: str, first: int, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(getattr(os, name), error, first, times=3)
    monkeypatch.setattr(os, name, failing)
    results, reports = inspect(detector, tmp_path)
    assert_inspected(results)
    assert failing.failures == 3
    assert sum(r.failed for r in reports.values()) == 3
    assert_whole(tmp_path, reports)
    # It recovered: what came after the fault is written, and no error is left standing.
    assert all(r.error == "" for r in reports.values())


@pytest.mark.fault("S1")
def test_s1_a_disk_that_stays_full_is_told_at_the_end(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", Failing(os.write, errno.ENOSPC, 0, 10**9))
    monkeypatch.setattr(os, "fsync", Failing(os.fsync, errno.ENOSPC, 0, 10**9))
    results, reports = inspect(detector, tmp_path)
    assert_inspected(results)
    assert [r.failed for r in reports.values()] == [PARTS] * 3
    assert all("disk full while writing" in r.error for r in reports.values())
    assert_whole(tmp_path, reports)


@pytest.mark.fault("S1")
def test_s1_records_that_are_evidence_end_the_run_after_the_frame_they_miss(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10**9))
    original = os.write

    def write(handle: int, data: bytes) -> int:
        if threading.current_thread() is threading.main_thread() and data.startswith(b"{") and next(calls) >= 5:
            raise OSError(errno.ENOSPC, "full")
        return original(handle, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(SinkError, match="disk full while writing"):
        inspect(detector, tmp_path, results_policy="stop")
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 5


@pytest.mark.fault("S1")
def test_s1_a_disk_that_hangs_does_not_hold_the_inspection_up(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PATIENCE_S", "CLOSE_S"):
        monkeypatch.setattr(f"csflow.runtime.sinks.background.{name}", 0.05)
    wakes, original = threading.Event(), os.write

    def hang(handle: int, data: bytes) -> int:
        if threading.current_thread().name.startswith("csflow-output"):
            assert wakes.wait(60.0)
        return original(handle, data)

    monkeypatch.setattr(os, "write", hang)
    results, reports = inspect(detector, tmp_path)
    assert_inspected(results)
    assert (reports["pictures"].written, reports["results"].written) == (PARTS, 0)
    assert reports["results"].dropped == PARTS
    assert "did not answer" in reports["results"].error
    wakes.set()


def program() -> str:
    found = shutil.which("csflow", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("the csflow command is not installed beside this Python")
    return found


@pytest.mark.fault("S3")
def test_s3_a_run_that_is_killed_leaves_whole_files_and_the_next_goes_on(
    calibrated_bundle: Bundle, tmp_path: Path
) -> None:
    records, table, pictures = tmp_path / "r.jsonl", tmp_path / "t.csv", tmp_path / "pictures"
    command = [program(), "run", "--bundle", str(calibrated_bundle.path), "--backend", "fake", "--quiet"]
    command += ["--results", str(records), "--csv", str(table), "--save", str(pictures), "--save-rule", "all"]
    with subprocess.Popen([*command, "--camera", "synthetic://?fps=0&size=64x64"], stderr=subprocess.DEVNULL) as run:
        while not records.exists() or records.read_bytes().count(b"\n") < 20:
            time.sleep(random.Random(3).uniform(0.005, 0.02))
        run.send_signal(signal.SIGKILL)
    killed = records.read_bytes().count(b"\n")
    done = subprocess.run([*command, "--camera", "synthetic://?fps=0&size=64x64&frames=3"], timeout=60, check=False)
    assert done.returncode == 0
    whole = [line for line in records.read_text().splitlines() if line.endswith("}")]
    assert len([json.loads(line) for line in whole]) == killed + 3
    assert table.read_text().count("time_utc") == 1
    for path in pictures.glob("*.jpg"):
        Image.open(path).load()


@pytest.mark.fault("S4")
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_s4_thresholds_that_are_torn_or_damaged_are_refused_never_replaced_by_defaults(
    share: float, calibrated_bundle: Bundle
) -> None:
    path = calibrated_bundle.path / CALIBRATION
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises((CalibrationError, BundleError)):
        Detector.open(calibrated_bundle.path, "fake")
    path.write_bytes(bytes(b ^ 0x80 if i == int(share * len(data)) else b for i, b in enumerate(data)))
    with pytest.raises((CalibrationError, BundleError)):
        Detector.open(calibrated_bundle.path, "fake")
    path.write_bytes(data)
    with Detector.open(calibrated_bundle.path, "fake") as recovered:
        assert recovered.detect(BAD).verdict is Verdict.NOK


@pytest.mark.fault("S5")
def test_s5_a_flood_of_log_lines_is_bounded_in_lines_and_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_FILE_BYTES", 2000)
    monkeypatch.setattr(logs, "QUEUED", 10**6)
    monkeypatch.setattr(log_sink, "PERIOD_S", 0.0)
    nok = Result(Verdict.NOK, 2.0, 1.0, 0.1, np.zeros((1, 1), np.float32), (0, 0), "why", 0, 0, 0.1, "x" * 100)
    with logs.run_logs(tmp_path / "log"), LogSink() as sink:
        for _ in range(2000):
            sink.write(nok, Frame(GOOD))
    files = list(tmp_path.iterdir())
    assert len(files) == logs.LOG_FILES + 1
    assert sum(p.stat().st_size for p in files) <= 2000 * (logs.LOG_FILES + 1)


@pytest.mark.fault("S5")
def test_s5_a_log_disk_that_is_full_costs_log_lines_only(
    detector: Detector, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with logs.run_logs("/dev/full") as log:
        log.info("a line that does not fit")
        results, reports = inspect(detector, tmp_path, log_file="/dev/full")
    assert_inspected(results)
    assert_whole(tmp_path, reports)
    assert "Traceback" not in capfd.readouterr().err
