"""What tests need beyond pip: one list, which `make test`, `make packages`, the gate and README share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHELL = ("sh", "grep", "dirname")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without any of the programs."""
    for name in SHELL:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    return {**os.environ, "PATH": str(tmp_path)}


def missing(environment: dict[str, str]) -> dict[str, str]:
    script = str(ROOT / "tests" / "missing.sh")
    done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split("|") for line in done.stdout.splitlines())


def test_every_group_names_what_it_needs_and_who_brings_it() -> None:
    lines = [line for line in (ROOT / "tests" / "packages.txt").read_text().splitlines() if not line.startswith("#")]
    groups = [line.split("|") for line in lines]
    assert all(len(group) == 3 and all(part.strip() == part != "" for part in group) for group in groups)
    assert len({group[0] for group in groups}) == len(groups)


def test_a_bare_machine_is_told_what_it_skips(bare: dict[str, str]) -> None:
    told = missing(bare)
    assert "g++" in told["libcsflow"].split()
    assert told["libcsflow for aarch64"] == "g++-aarch64-linux-gnu"


def test_what_is_there_is_not_missed(bare: dict[str, str]) -> None:
    folder = Path(bare["PATH"])
    for name in ("aarch64-linux-gnu-g++", "ffmpeg"):
        (folder / name).symlink_to(sys.executable)
    told = missing(bare)
    assert "libcsflow for aarch64" not in told
    assert "videos in many containers" not in told


def test_a_test_that_calls_a_compiler_is_skipped_where_there_is_none(bare: dict[str, str]) -> None:
    # The test that compiles against the header alone, without a build before it.
    name = "tests/native/test_native.py::test_the_example_has_the_headers_layout"
    pytest_program = str(Path(sys.executable).with_name("pytest"))
    words = [pytest_program, "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(words, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 skipped" in done.stdout


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="a source archive has no gate")
def test_the_gate_and_readme_use_the_list() -> None:
    assert "tests/missing.sh" in (ROOT / ".ci" / "run").read_text()
    assert "make packages" in (ROOT / "README.md").read_text()
