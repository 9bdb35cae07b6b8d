"""The short form of the handshakes over real servers; `make soak` plays 200,000."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from csflow.runtime.plc.simulator.rehearsal import Account

from .handshakes import SHARES, Board, shares

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.fault("L2")
def test_what_every_adapter_plays_is_told_as_one() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.soak.handshakes",
        "--handshakes",
        "80",
        "--over",
        "modbus",
        "--over",
        "null",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert "80 of 80 handshakes" in last
    assert "(modbus 40 null 40); escapes 0, duplicates 0, unanswered 0" in last


def test_one_escape_spoils_the_run() -> None:
    board = Board({"modbus": 2, "s7": 2})
    board.accounts["modbus"] = Account(Counter({"": 2}))
    assert board.good
    assert not board.whole
    board.accounts["s7"] = Account(Counter({"": 1, "not OK": 1}), escapes=1)
    assert board.whole
    assert not board.good
    assert "4 of 4 handshakes" in board.line()
    assert "escapes 1" in board.lines()[-1]


def test_every_adapter_has_a_share() -> None:
    assert sum(shares(200_000, ()).values()) == 200_000
    assert set(SHARES) == set(shares(10, ()))
    assert shares(5, ("s7", "lines")) == {"s7": 3, "lines": 3}
