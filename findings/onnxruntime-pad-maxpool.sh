#!/usr/bin/env bash
# ONNX Runtime drops the zeros that a Pad lays around a map before MaxPool.
#
# Version:  onnxruntime 1.31.1, CPU, as it comes, beside onnx 1.23.2's reference evaluator and openvino 2026.4.1
# Expected: Pad with zeros, then MaxPool without padding: zeros take part in the maximum. Over a map of -1 and less the
#           border of the result is 0. MaxPool's own padding is another thing: by the standard it is never the maximum.
# Seen:     The optimiser, at its lowest level already, makes the Pad into MaxPool's own padding: the border is the
#           largest negative number instead of 0. Optimisations off, the reference evaluator and OpenVINO: 0. Pad before
#           Conv, and before AveragePool, is fused rightly, and Pad with another constant is left alone. Its twin in
#           onnx/optimizer (onnxsim) is known, issue 290 of onnxsim.
# Costs:    Behind a Relu nothing shows. Log-likelihoods, normalised features or a map turned round for a minimum pool
#           (-max(-x), the erosion of a mask) have another border than in training; an erosion no longer removes what
#           touches the edge.
# Instead:  InferenceSession(..., disabled_optimizers=["Pad_Fusion"]); compare a session with ORT_DISABLE_ALL once.
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
from onnx.reference import ReferenceEvaluator


def model(node, value, weight=()):
    """Pad by one of a 4 x 4 map, then `node` with windows of 3 x 3."""
    constants = [("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1])), ("value", np.array(value, np.float32)), *weight]
    graph = helper.make_graph(
        [helper.make_node("Pad", ["x", "pads", "value"], ["padded"]), node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def onnxruntime_(made, x, level, **more):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"], **more
    )
    return session.run(None, {"x": x})[0][0, 0]


def openvino_(made, x):
    core = ov.Core()
    return np.array(core.compile_model(core.read_model(made.SerializeToString()), "CPU")([x])[0])[0, 0]


level = ort.GraphOptimizationLevel
pool = helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[3, 3])
x = -1 - np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
zeros = model(pool, 0)
rows = {
    "reference": ReferenceEvaluator(zeros).run(None, {"x": x})[0][0, 0],
    "OpenVINO": openvino_(zeros, x),
    "ONNX Runtime, optimisations off": onnxruntime_(zeros, x, level.ORT_DISABLE_ALL),
    "ONNX Runtime, basic": onnxruntime_(zeros, x, level.ORT_ENABLE_BASIC),
    "ONNX Runtime, as it comes": onnxruntime_(zeros, x, level.ORT_ENABLE_ALL),
    "ONNX Runtime without Pad_Fusion": onnxruntime_(zeros, x, level.ORT_ENABLE_ALL, disabled_optimizers=["Pad_Fusion"]),
}
for name, result in rows.items():
    print(f"{name}: border {result[0]}, inside {result[1, 1:3]}")


def agree(node, value, weight=()):
    made = model(node, value, weight)
    off, on = (onnxruntime_(made, x, each) for each in (level.ORT_DISABLE_ALL, level.ORT_ENABLE_ALL))
    return bool(np.allclose(off, on))


# An eroded mask: 1 where all of 3 x 3 is 1, and nothing is outside of the picture.
mask = np.ones((1, 1, 4, 4), np.float32)
eroded = {
    name: float(-onnxruntime_(zeros, -mask, each)[0, 0])
    for name, each in (("optimisations off", level.ORT_DISABLE_ALL), ("as it comes", level.ORT_ENABLE_ALL))
}
print("corner of a full mask after erosion:", eroded)
wrong = (rows["ONNX Runtime, basic"], rows["ONNX Runtime, as it comes"])
right = [result for name, result in rows.items() if name not in ("ONNX Runtime, basic", "ONNX Runtime, as it comes")]
kernel = [("w", np.ones((1, 1, 3, 3), np.float32))]
seen = {
    "four ways to run it have 0 all round": all((result[0] == 0).all() and (result[-1] == 0).all() for result in right),
    "ONNX Runtime optimised has no 0 at all": all((result < 0).all() for result in wrong),
    "inside all agree": all(np.array_equal(result[1:3, 1:3], right[0][1:3, 1:3]) for result in rows.values()),
    "a Pad with -5 stays": agree(pool, -5),
    "Pad before Conv is right": agree(helper.make_node("Conv", ["padded", "w"], ["y"]), 0, kernel),
    "Pad before AveragePool is right": agree(helper.make_node("AveragePool", ["padded"], ["y"], kernel_shape=[3, 3]), 0),
    "the erosion keeps the edge": eroded == {"optimisations off": 0.0, "as it comes": 1.0},
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
