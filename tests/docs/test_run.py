"""Every command of README and docs is run as it is printed, or marked with what it needs that a test has not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .blocks import BLOCKS, NEEDS, PROGRAMS, STAND_INS, Block, program
from .stand_ins import Shell, play_gpio

QUICK = [block for block in BLOCKS if block.runs and not block.takes_minutes]


def test_every_block_says_what_it_needs_in_words_that_are_known() -> None:
    assert {need for block in BLOCKS for need in block.needs} <= set(NEEDS)
    assert set(NEEDS) > STAND_INS
    assert sum(len(block.commands) for block in BLOCKS) > 200
    assert len(QUICK) > 15


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_what_installs_or_needs_a_service_is_marked(block: Block) -> None:
    """Such lines are never run here, on a machine that is somebody's."""
    named = {program(line) for line in block.commands}
    assert named <= PROGRAMS
    if named & {"apt-get", "cmake", "git", "make", "pip", "sudo", "tritonserver"}:
        assert not block.runs, block.name


@pytest.mark.parametrize("block", QUICK, ids=lambda block: block.name)
def test_a_block_runs_as_printed(
    block: Block, at_the_line: Shell, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in {program(line) for line in block.commands} - {"csflow", "export", "plc-gateway"}:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    if "gpio" in block.needs:
        play_gpio(monkeypatch)
    if block.page == "calibration.md":
        Path("images").symlink_to(request.getfixturevalue("good_parts"))
    if block.page == "deploy.md":
        earlier = ["csflow", "deploy", "new.csflow.zip", "csflow/part7.csflow", "--allow-unsigned"]
        at_the_line.csflow(["csflow", "pack", "new.csflow"])
        at_the_line.csflow(earlier)
    at_the_line.run(block)
