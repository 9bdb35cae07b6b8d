"""`make bench` in its smallest form: every table is there, and what it says can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = "--backbone tf_efficientnet_lite0 --image-size 128 --hidden 32 --repeats 3 --no-training --json"


def test_a_small_bench_fills_every_table() -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pytest.importorskip("onnxruntime", reason="INT8 needs ONNX Runtime")
    command = [sys.executable, str(Path(__file__).with_name("bench.py")), *SMALL.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    engines = {row["what"]: row for row in tables["engines"]}
    assert {"torch", "openvino-fp32", "openvino-int8", "openvino-fp32?mode=throughput"} <= set(engines)
    assert engines["torch"]["ratio"] == 1.0
    assert [row["cameras"] for row in tables["cameras"]] == [1, 2, 4]
    engine, whole, *_ = tables["line"]
    assert whole["median_s"] > engine["median_s"]
    for row in (*tables["engines"], *tables["line"], *tables["rest"]):
        assert 0 < row["median_s"] <= row["p95_s"] <= row["p99_s"]
