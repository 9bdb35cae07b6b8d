"""`make bench` in its smallest form: every table is there, and what it says can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = "--backbone tf_efficientnet_lite0 --image-size 128 --hidden 32 --repeats 3 --json"


@pytest.mark.slow
def test_a_small_bench_fills_every_table() -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pytest.importorskip("onnxruntime", reason="INT8 needs ONNX Runtime")
    command = [sys.executable, str(Path(__file__).with_name("bench.py")), *SMALL.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    engines = {row["what"]: row for row in tables["engines"]}
    assert {"torch", "openvino-fp32", "openvino-int8"} <= set(engines)
    assert {"int8 model, openvino-fp32", "int8 model, openvino-int8", "onnxruntime-fp32, csflow's graphs"} <= set(
        engines
    )
    assert engines["torch"]["ratio"] == 1.0
    assert tables["resident_mb"]["openvino-fp32"] > 50
    assert [row["needs"] for row in tables["elsewhere"]]
    latency, throughput = tables["cameras"][:3], tables["cameras"][3:]
    assert [row["cameras"] for row in latency] == [row["cameras"] for row in throughput] == [1, 2, 4]
    assert {row["per_call"] for row in latency} == {1.0}
    assert throughput[0]["per_call"] == 1.0
    assert latency[0]["ratio"] == 1.0
    assert {row["engine"] for row in throughput} == {f"{latency[0]['engine']}?mode=throughput"}
    assert any(name.startswith(throughput[0]["engine"]) for name in engines)
    engine, whole, around, _, ready, *_ = tables["line"]
    assert whole["median_s"] > engine["median_s"]
    assert tables["overhead"]["share"] == pytest.approx(around["ratio"])
    assert tables["overhead"]["null_s"] == ready["median_s"]
    handshake, swap = tables["plc"]
    assert handshake["ratio"] == pytest.approx(handshake["median_s"] / engine["median_s"])
    assert "recipe" in swap["what"]
    for row in (*tables["engines"], *tables["line"], *tables["plc"], *tables["rest"]):
        assert 0 < row["median_s"] <= row["p95_s"] <= row["p99_s"]
