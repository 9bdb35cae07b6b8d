"""`csflow run` as a process: signals, pipes and readers that leave, and libraries that hang."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle

HANGUP = signal.SIGTERM if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else signal.SIGHUP
"""What a terminal sends that is gone; under nohup it is ignored here, and in what is started here."""
GOOD = np.full((64, 64, 3), 51, dtype=np.uint8)


def verdicts(path: Path) -> list[str]:
    return [json.loads(line)["verdict"] for line in path.read_text().splitlines()]


@pytest.fixture
def command(calibrated_bundle: Bundle) -> list[str]:
    program = shutil.which("csflow", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("the csflow command is not installed beside this Python")
    return [program, "run", "--bundle", str(calibrated_bundle.path), "--backend", "fake", "--camera"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (HANGUP, 0)])
def test_a_signal_ends_the_run_cleanly_with_the_summary(
    number: int, code: int, command: list[str], tmp_path: Path
) -> None:
    records = tmp_path / "results.jsonl"
    arguments = [*command, "synthetic://?fps=50&size=64x64", "--results", str(records)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "frames in" in output
    assert "Traceback" not in errors
    assert records.read_bytes().endswith(b"\n")
    assert len(verdicts(records)) >= 1


def test_records_on_standard_output_are_nothing_but_records(command: list[str], parts: Path) -> None:
    done = subprocess.run([*command, str(parts), "--results", "-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["OK", "NOK", "ERROR", "OK"]
    assert "4 frames" in done.stderr


@pytest.mark.parametrize("extra", [[], ["--results", "-"]])
def test_a_reader_that_goes_away_gets_one_line_not_a_traceback(command: list[str], extra: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [*command, "synthetic://?fps=0&frames=3&size=64x64", *extra]
    done = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1].startswith("Error: nobody reads")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("extra", ["--json", "-q"])
def test_a_summary_that_is_lost_ends_with_7(extra: str, command: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        arguments = [*command, "synthetic://?fps=0&frames=1&size=64x64", extra]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1].startswith("Error: disk full while writing the summary")


def test_letters_that_standard_output_lacks_are_escaped(command: list[str], tmp_path: Path) -> None:
    Image.fromarray(GOOD).save(tmp_path / "\u00fc.png")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "*.png")], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.returncode, "\\xfc.png" in done.stdout) == (0, True)


HANGING = """
import sys, time
import cv2
import numpy as np
import csflow.runtime.source
from csflow.runtime.cli.run import run
from csflow.runtime.sources.fake import FakeSource

PICTURE = cv2.imencode(".jpg", np.full((2000, 2000, 3), 90, np.uint8))[1]


class Hanging(FakeSource):
    def read(self, timeout_s):
        if not self.closed:
            self.closed = True
            return self._play(np.full((64, 64, 3), 51, np.uint8), timeout_s)
        while True:
            cv2.imdecode(PICTURE, cv2.IMREAD_COLOR)


csflow.runtime.source.open_source = lambda *_: Hanging([], live=True)
run()
"""


def test_a_camera_that_hangs_in_its_library_costs_no_exit_code(calibrated_bundle: Bundle) -> None:
    # What comes back from C++ after the interpreter's end would abort the process: exit 134.
    pytest.importorskip("cv2", reason="cameras need csflow[camera]")
    options = ["--backend", "fake", "--warm-up", "0", "--frames", "1", "--bundle", str(calibrated_bundle.path)]
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1].split()[0]) == (0, "thresholds")
    assert "1 frames in" in done.stdout
