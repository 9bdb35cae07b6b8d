"""What pyproject.toml and constraints.txt promise: every Python and processor that README names can install csflow."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_35")
UNREACHABLE = ("error sending request", "Failed to fetch", "dns error", "timed out", "Could not connect")


def uv() -> str:
    program = shutil.which("uv", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("uv is not installed: it resolves for Pythons that are not here (pip install uv)")
    return program


def resolved(python: str, platform: str) -> subprocess.CompletedProcess[str]:
    """What uv says to all of csflow's packages for a Python and a processor."""
    options = ["--extra", "dev", "--python-version", python, "--python-platform", platform, "-c", "constraints.txt"]
    # This Python resolves for the others: uv would look for each on the network, for ten seconds where there is none.
    options += ["--python", sys.executable]
    command = [uv(), "pip", "compile", "-q", "--no-header", "--no-annotate", "pyproject.toml", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def resolving() -> Iterator[dict[tuple[str, str], Future[subprocess.CompletedProcess[str]]]]:
    """All of them side by side: each mostly waits for the package index."""
    uv()
    with ThreadPoolExecutor() as pool:
        yield {(p, q): pool.submit(resolved, p, q) for p, q in itertools.product(PYTHONS, PLATFORMS)}


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_constraints_can_be_met(
    python: str, platform: str, resolving: dict[tuple[str, str], Future[subprocess.CompletedProcess[str]]]
) -> None:
    done = resolving[python, platform].result()
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    pinned = set((ROOT / "constraints.txt").read_text().splitlines())
    loose = {line for line in done.stdout.splitlines() if not any(p.split(" ;")[0] == line for p in pinned)}
    assert not loose, "constraints.txt does not say which version: run 'make constraints'"


def test_every_constraint_is_a_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(line.startswith("#") or re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.]+( ; .+)?", line) for line in lines)


@pytest.mark.parametrize(
    ("index", "options"), [("", "-e"), ("https://example.org/cpu", "--extra-index-url https://example.org/cpu -e")]
)
def test_make_says_the_size_before_it_installs_and_takes_torch_from_where_it_is_told(index: str, options: str) -> None:
    words = ["make", "-n", "demo", "VENV=out/no-environment", f"TORCH_INDEX={index}"]
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    size, _, rest = told.partition("/pip ")
    assert "6.3 GB" in size
    assert " ".join(rest.splitlines()[0].split()).endswith(f"-c constraints.txt {options} '.[all-cpu]'")
