"""Child processes that crash, hang or talk are answers, never a fault of doctor; and doctor as a command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.doctor import doctor
from csflow.runtime.doctor.examination import CHECKS
from csflow.runtime.doctor.finding import Finding
from csflow.runtime.machine import machine as machine_module
from csflow.runtime.machine.machine import (
    Answer,
    Machine,
    ask_child,
    installed_version,
    module_file,
    processor_instructions,
)


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ("print('{\"a\": 1}')", Answer({"a": 1})),
        ("print('a banner'); print('{\"a\": 1, \"problem\": \"no\"}')", Answer({"a": 1}, "no")),
        ("pass", Answer(problem="ended without an answer")),
        ("print('not json')", Answer(problem="ended without an answer")),
        ("raise ValueError('odd')", Answer(problem="failed: ValueError: odd")),
        ("import os; os.abort()", Answer(problem="crashed with SIGABRT")),
        ("import os, sys; sys.stderr.write('why\\n'); sys.stderr.flush(); os.kill(os.getpid(), 9)",
         Answer(problem="crashed with SIGKILL: why")),
    ],
)  # fmt: skip
def test_answers(monkeypatch: pytest.MonkeyPatch, child: str, expected: Answer) -> None:
    monkeypatch.setattr(machine_module, "_CHILD", child)
    assert ask_child("cuda", timeout_s=60) == expected


def test_a_hung_child_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(machine_module.subprocess, "Popen", Recorded)
    monkeypatch.setattr(machine_module, "_CHILD", "import time; time.sleep(600)")
    assert ask_child("cuda", timeout_s=0.1).problem == "gave no answer within 0.1 s"
    assert [child.returncode for child in started] == [-signal.SIGKILL]


def test_the_real_cuda_probe_answers_with_or_without_a_gpu() -> None:
    answer = ask_child("cuda")
    assert answer.problem or answer.values["devices"] is not None


def test_a_library_that_does_not_load_gives_the_loader_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    problem = ask_child("tensorrt", "tensorrt").problem
    assert problem == "ImportError: libnvinfer.so.10: cannot open shared object file"


def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("__version__ = 'of a stranger'\n")
    monkeypatch.chdir(tmp_path)
    assert "of a stranger" not in ask_child("tensorrt", "tensorrt").values.values()


@pytest.mark.parametrize(("module", "probe"), [("openvino", "openvino"), ("cv2", "opencv")])
def test_the_installed_libraries_answer(module: str, probe: str) -> None:
    if module_file(module) is None:
        pytest.skip(f"{module} is not installed")
    answer = ask_child(probe)
    assert answer.problem == ""
    assert answer.values["version"]


def test_looking_up_imports_nothing() -> None:
    assert installed_version("no-such-distribution") is None
    assert module_file("no_such_module") is None
    found = module_file("turtle")
    assert found is None or found.name == "turtle.py"
    assert "turtle" not in sys.modules


def test_absent_files_are_empty(tmp_path: Path) -> None:
    assert Machine(tmp_path).text("proc/cpuinfo") == ""
    assert Machine(tmp_path).paths("dev/video*") == []


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: avx2 amx_bf16\nvmx flags\t: ept\nflags\t\t: avx2\n", "avx2 amx_bf16"),
        ("processor\t: 0\nFeatures\t: fp asimd\n", "fp asimd"),
        ("processor\t: 0\n", ""),
    ],
)
def test_what_the_first_processor_can_is_the_kernels_word(tmp_path: Path, cpuinfo: str, expected: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    assert processor_instructions(Machine(tmp_path)) == expected


@pytest.fixture
def _few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what asks no library: the others are tested above and in test_doctor.py."""
    for topic in set(CHECKS) - {"processor", "memory"}:
        monkeypatch.delitem(CHECKS, topic)


@pytest.mark.usefixtures("_few_checks")
def test_the_command(calibrated_bundle: Bundle) -> None:
    done = CliRunner().invoke(doctor, ["--bundle", str(calibrated_bundle.path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.split()[:2] == ["ok", "processor"]
    assert f"-> csflow export --bundle {calibrated_bundle.path}" in done.stdout


@pytest.mark.usefixtures("_few_checks")
def test_json_holds_the_same(calibrated_bundle: Bundle) -> None:
    done = CliRunner().invoke(doctor, ["--json"], env={"CSFLOW_BUNDLE": str(calibrated_bundle.path)})
    report = json.loads(done.stdout)
    assert report["broken"] == []
    topics = [Finding(**finding).topic for finding in report["findings"]]
    assert topics == ["processor", "memory", "bundle", "bundle", "bundle", "bundle"]


@pytest.mark.usefixtures("_few_checks")
def test_only_a_broken_check_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = CliRunner().invoke(doctor, ["--bundle", str(tmp_path / "none")])
    assert missing.exit_code == 0
    monkeypatch.setitem(CHECKS, "memory", lambda _: [][0])
    done = CliRunner().invoke(doctor, [])
    assert done.exit_code == 1
    assert "this check failed (IndexError" in done.stdout
