"""Weights are in the memory of a run once: not as a file, a graph and a compiled form side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

BENCH = Path(__file__).resolve().parents[1] / "bench"
PER_WEIGHT = 1.5
"""Bytes of resident memory for each byte of weights; with the source kept it is over 2. Libraries, buffers and the
picture are counted apart, by a bundle with hardly any weights."""
MEASURE = """
import sys
from pathlib import Path
from bench_model import pictures, random_bundle
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.openvino.engine import OpenVINOEngine
from csflow.runtime.bundle.golden import load_golden

if sys.argv[1] == "make":
    random_bundle(Path(sys.argv[2]), "tf_efficientnet_lite0", 128, int(sys.argv[3]), pictures(1)[0])
else:
    bundle = Bundle.open(sys.argv[2])
    engine = OpenVINOEngine(bundle)
    engine.infer([load_golden(bundle).pictures[0][0]])
    words = Path("/proc/self/statm").read_text().split()
    print(int(words[1]) * 4096)
"""


def run(*words: object, cache: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(BENCH), "CSFLOW_CACHE": str(cache)}
    command = [sys.executable, "-c", MEASURE, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_weights_are_resident_once_at_the_first_start_and_at_the_second(tmp_path: Path) -> None:
    sizes, resident = [], []
    for hidden in (16, 512):
        path = tmp_path / f"{hidden}.csflow"
        run("make", path, hidden, cache=tmp_path / "none")
        sizes.append(sum(file.stat().st_size for file in (path / "graphs/fp32").iterdir()))
        resident.append([int(run("measure", path, cache=tmp_path / f"cache{hidden}")) for _ in range(2)])
    weights = sizes[1] - sizes[0]
    assert weights > 100e6
    for small, large in zip(*resident, strict=True):
        assert large - small < PER_WEIGHT * weights
