"""What low precision is measured by: the processor, another library on the same graphs, and an engine's memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import stages
from csflow.runtime.types import Frame, Prediction

__all__ = ["OnnxRuntime", "machine", "resident_mb"]

MEASURE = """
import sys
from pathlib import Path
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import load_engine

bundle = Bundle.open(sys.argv[1])
with load_engine(bundle, sys.argv[2]) as engine:
    for _ in range(2):
        engine.infer([load_golden(bundle).pictures[0][0]])
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
"""


class OnnxRuntime:
    """csflow's float32 graphs in ONNX Runtime, with as many threads as it likes."""

    name = "onnxruntime-fp32"

    def __init__(self, bundle: Bundle) -> None:
        import onnxruntime

        graphs = [stage.file for stage in stages(bundle.manifest, EngineName("openvino", "fp32"))]
        where = ["CPUExecutionProvider"]
        self._sessions = [onnxruntime.InferenceSession(bundle.read(name), providers=where) for name in graphs]

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for (S, S, 3) uint8 frames."""
        return [self._predict(frame) for frame in frames]

    def _predict(self, frame: Frame) -> Prediction:
        given = {"frame": np.ascontiguousarray(frame.image)[None]}
        for session in self._sessions:
            given = dict(zip([port.name for port in session.get_outputs()], session.run(None, given), strict=True))
        return Prediction(float(given["score"][0]), given["anomaly_map"][0])

    def close(self) -> None:
        """Release the sessions."""
        self._sessions = []

    def __enter__(self) -> OnnxRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def resident_mb(bundle: Bundle, backend: str, cache: Path) -> float:
    """Megabytes that a process of its own has in memory once an engine is open and has judged two frames."""
    command = [sys.executable, "-c", MEASURE, str(bundle.path), backend]
    environment = {**os.environ, "CSFLOW_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    return int(done.stdout) / 1e3


def machine() -> str:
    """Processor, its relevant instructions, threads and versions."""
    has = torch.cpu.get_capabilities()
    flags = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if has.get(name)]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "openvino", "numpy", "pillow"))
    name = has.get("cpu_name", platform.machine())
    return f"{name}, {torch.get_num_threads()} threads, {' '.join(flags)}; {versions}"
