#!/usr/bin/env bash
# ONNX Runtime cuts off the fraction when it resizes uint8 linearly.
#
# Version:  onnxruntime 1.31.1 beside openvino 2026.4.1, CPU
# Expected: Resize (mode linear) of uint8 is that of float32, rounded to the nearest.
# Seen:     Without antialias every value is cut off: half a grey level too dark on average (0.47, enlarging 16 to 24
#           pixels). With antialias, which changes nothing when enlarging, the mean lies 0.18 *above*. OpenVINO rounds
#           to the nearest.
# Costs:    A resize inside the graph ahead of the cast darkens every picture by half a level on one runtime only: a
#           constant shift of all features, small for one picture and systematic for a threshold.
# Instead:  Cast to float32 before Resize, and decide where to round.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
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


def onnxruntime_(data, *arrays):
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays)})[0]


def openvino_(data, *arrays):
    core = ov.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(list(arrays))[0])


x = np.random.default_rng(1).integers(0, 256, (1, 1, 16, 16)).astype(np.uint8)


def resize(kind, antialias):
    return model(
        [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=antialias)],
        [("x", kind, [1, 1, 16, 16])],
        [("y", kind, [1, 1, 24, 24])],
        [("sizes", np.array([1, 1, 24, 24]))],
    )


exact = onnxruntime_(resize(TensorProto.FLOAT, 0), x.astype(np.float32))
cut = onnxruntime_(resize(TensorProto.UINT8, 0), x).astype(np.float32)
smooth = onnxruntime_(resize(TensorProto.UINT8, 1), x).astype(np.float32)
rounded = openvino_(resize(TensorProto.UINT8, 0), x).astype(np.float32)
for name, got in (("ONNX Runtime", cut), ("ONNX Runtime, antialias", smooth), ("OpenVINO", rounded)):
    print(
        f"{name}: mean error {np.mean(got - exact):+.3f}, from {(got - exact).min():+.3f} to {(got - exact).max():+.3f}"
    )
seen = {
    "ONNX Runtime cuts off": np.array_equal(cut, np.floor(exact)),
    "ONNX Runtime with antialias is not the rounded value either": bool(np.mean(smooth - exact) > 0.1),
    "OpenVINO rounds": bool(np.abs(rounded - exact).max() < 0.501),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
