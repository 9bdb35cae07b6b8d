"""No import of csflow's tells anybody anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from csflow.runtime.machine.telemetry import TELEMETRY, without_telemetry

ALL = """
import sys
from csflow.runtime.machine import probes
from csflow.runtime.engines.openvino import core, engine, variants
assert core.new_core() and probes.openvino()["version"] == core.VERSION
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""


def test_openvino_is_loaded_without_its_telemetry_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pytest.importorskip(TELEMETRY, reason="OpenVINO came without it")
    # On machines of CI it is silent by itself.
    environment = {n: v for n, v in os.environ.items() if n not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment["HOME"] = str(tmp_path)
    words = [sys.executable, "-c", ALL]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_was_loaded_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, TELEMETRY, raising=False)
    with without_telemetry(), pytest.raises(ImportError):
        __import__(TELEMETRY)
    assert TELEMETRY not in sys.modules
    loaded = type(sys)(TELEMETRY)
    monkeypatch.setitem(sys.modules, TELEMETRY, loaded)
    with without_telemetry():
        assert sys.modules[TELEMETRY] is loaded
    assert sys.modules[TELEMETRY] is loaded
