#!/usr/bin/env bash
# TensorRT-RTX builds a float32 1x1 convolution for Turing, and refuses the same product as MatMul.
#
# Version:  tensorrt-rtx-cu13 1.7.1.116 (libraries and bindings), built on the CPU: no GPU is needed, none is used
# Expected: Compute capability 7.5 is on the list of supported devices; what builds for 8.0 to 12.0 in float32 builds
#           for it.
# Seen:     "FP32 GEMM is not supported" for SM75 alone, whatever the size. In float16 it builds, and so does the
#           float32 convolution with the same weights, which is the same arithmetic.
# Costs:    A plan for several GPUs fails as a whole because of one; found on the customer's oldest card, as the builder
#           does not say so before.
# Instead:  Write float32 products as 1x1 convolutions, or leave SM75 out of float32 plans and say so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 tensorrt-rtx-cu13-libs==1.7.1.116 tensorrt-rtx-cu13-bindings==1.7.1.116
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, constants=(), opset=20):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.lines = []

    def log(self, severity, message):
        if severity <= trt.ILogger.ERROR:
            self.lines.append(message)


def build(data, capability):
    """Why it does not build, or an empty text."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(data):
        return "the parser refuses it"
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    plan = builder.build_serialized_network(network, config)
    return "" if plan is not None else " ".join(log.lines)


weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)


def product(kind, dtype):
    return model(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        [("x", kind, [256, 64])],
        [("y", kind, [256, 64])],
        [("weights", weights.astype(dtype))],
    )


convolution = model(
    [helper.make_node("Conv", ["x", "weights"], ["y"])],
    [("x", TensorProto.FLOAT, [1, 64, 16, 16])],
    [("y", TensorProto.FLOAT, [1, 64, 16, 16])],
    [("weights", weights.T[:, :, None, None].copy())],
)
wide, half = product(TensorProto.FLOAT, np.float32), product(TensorProto.FLOAT16, np.float16)
reasons = {
    "float32 MatMul, SM75": build(wide, "SM75"),
    "float32 MatMul, SM80": build(wide, "SM80"),
    "float16 MatMul, SM75": build(half, "SM75"),
    "float32 1x1 Conv, SM75": build(convolution, "SM75"),
}
for name, reason in reasons.items():
    print(f"{name}: {reason or 'builds'}")
refused = reasons.pop("float32 MatMul, SM75")
seen = {"float32 MatMul, SM75, is refused": "FP32 GEMM is not supported" in refused}
seen |= {f"{name}, builds": reason == "" for name, reason in reasons.items()}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
