"""The short form of the fuzz harness; `make fuzz` runs it long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("fuzz_bundle.py")


@pytest.mark.fault("M1")
def test_two_thousand_mutations_crash_nothing() -> None:
    command = [sys.executable, str(HARNESS), "--iterations", "2000", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "2000 mutations, 0 crashes\n"


def test_a_crash_is_found_and_reported_with_what_repeats_it() -> None:
    code = f"""
import runpy, sys
import csflow.runtime.schema as schema
real = schema._check_values
def faulty(value):
    real(value)
    if not isinstance(value, dict):
        raise KeyError("a planted fault")
schema._check_values = faulty
sys.argv = ["fuzz", "--iterations", "300", "--seed", "0"]
runpy.run_path({str(HARNESS)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "of seed 0:" in done.stdout
    assert "a planted fault" in done.stdout
