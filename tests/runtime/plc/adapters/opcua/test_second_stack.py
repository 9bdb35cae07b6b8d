"""The server against another stack: open62541's client, with the types of OPC 40100-1 as others compiled them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cell import Cell

pytest.importorskip("asyncua", reason="the extra opcua is not installed")
if importlib.util.find_spec("o6") is None:
    pytest.skip(
        "o6 is not installed (pip install o6; its licence is its maker's own, so csflow does not bring it)",
        allow_module_level=True,
    )

SCRIPT = Path(__file__).with_name("second_stack.py")
LONG_S = 120


def test_a_client_compiled_against_the_standard_works_with_the_station(cell: Cell) -> None:
    cell.good = True
    files = (cell.clients / "commander.der", cell.clients / "commander.pem", cell.pki / "own.der")
    command = [sys.executable, str(SCRIPT), cell.url, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    report = cell.station.exchange.report
    assert found["name"] == "csflow"
    assert found["states"] == ["Operational", "Ready"]
    assert found["error"] == 0
    assert found["job"].startswith(f"{report.boot_id:08X}-")
    assert found["events"] == [1013, 1018, 1023, 1024, 1025]
    assert (found["complete"], found["last_job"], found["result_state"]) == (True, found["job"], 1)
    assert found["content"][:2] == ["23205", "OK"]
    assert (found["recipe"], len(found["hash"])) == (str(report.recipe), 8)
    assert found["halt"] == [0, 0]
