"""The short form of the soak; `make soak` runs it long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("soak.py")


@pytest.mark.fault("L1")
def test_a_short_soak_is_flat() -> None:
    command = [sys.executable, str(HARNESS), "--frames", "3000", "--plugs", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3000 frames: memory" in done.stdout


def test_a_leak_is_found() -> None:
    code = f"""
import runpy, sys, os
import csflow.runtime.line.stream as stream
real, kept = stream.Tally.add, []
def leak(self, result):
    kept.append((bytearray(20_000), os.dup(1) if len(kept) % 8 == 0 else None))
    real(self, result)
stream.Tally.add = leak
sys.argv = ["soak", "--frames", "900", "--plugs", "5"]
runpy.run_path({str(HARNESS)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "900 frames: memory grow" in done.stdout
    assert "900 frames: descriptors grow" in done.stdout
