"""The header of a plan that NVIDIA's own builder made a moment ago; TensorRT-RTX builds without a GPU."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from csflow.runtime.engines.tensorrt.plan_header import read_plan_header
from csflow.runtime.errors import EngineError

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="the extra tensorrt-rtx is not installed")

# In a process of its own: the library logs to stdout and may not be loaded beside others.
BUILD = """
import sys
import numpy as np
import tensorrt_rtx as trt

logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
x = network.add_input("x", trt.float32, (1, 3, 16, 16))
kernel = np.ones((8, 3, 3, 3), np.float32)
layer = network.add_convolution_nd(x, 8, (3, 3), trt.Weights(kernel), trt.Weights())
network.mark_output(layer.get_output(0))
config = builder.create_builder_config()
config.num_compute_capabilities = 2
config.set_compute_capability(trt.ComputeCapability.SM86, 0)
config.set_compute_capability(trt.ComputeCapability.SM120, 1)
with open(sys.argv[1], "wb") as file:
    file.write(builder.build_serialized_network(network, config))
print(trt.__version__)
"""


def test_header_of_a_real_plan(tmp_path: Path) -> None:
    path = tmp_path / "conv.plan"
    command = [sys.executable, "-c", BUILD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    header = read_plan_header(path)
    assert header.flavour == "tensorrt-rtx"
    assert header.version_text == done.stdout.split()[-1]
    assert header.compute_capabilities == ("8.6", "12.0")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EngineError, match="damaged"):
        read_plan_header(path)
