#!/usr/bin/env bash
# A float16 graph that overflows is right on the CPU: neither runtime there computes in float16.
#
# Version:  onnxruntime 1.31.1 and openvino 2026.4.1, CPU, beside onnx 1.23.2's reference evaluator
# Expected: In a graph whose every tensor is float16, 300 squared is infinite (the largest float16 is 65,504), and so is
#           the root of the mean of such squares.
# Seen:     Both runtimes answer 300, OpenVINO even with INFERENCE_PRECISION_HINT=f16: they compute in float32 and
#           narrow at the end. The reference evaluator answers infinity, as hardware does that computes as the graph
#           says.
# Costs:    Comparing float16 and float32 exports on the CPU finds no overflow, whatever the pictures: it appears on the
#           device, and on the largest defects first.
# Instead:  Compare the range of every float16 tensor, in a float32 run on strange pictures, with 65,504; or run the
#           reference evaluator.
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


from onnx.reference import ReferenceEvaluator

data = model(
    [
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sqrt", ["mean"], ["y"]),
    ],
    [("x", TensorProto.FLOAT16, [1, 8])],
    [("y", TensorProto.FLOAT16, [1])],
    [("axes", np.array([1]))],
)
x = np.full((1, 8), 300, np.float16)
with np.errstate(over="ignore"):
    exact = float(ReferenceEvaluator(onnx.load_from_string(data)).run(None, {"x": x})[0][0])
core = ov.Core()
half = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f16"})
got = {"ONNX Runtime": float(onnxruntime_(data, x)[0]), "OpenVINO, f16": float(half([x])[0][0])}
print("as written:", exact, got)
seen = {"as written: infinite": exact == float("inf"), **{f"{name}: 300": value == 300 for name, value in got.items()}}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
