#!/usr/bin/env bash
# A float16 graph that overflows is right on the CPU: neither runtime there computes in float16, most processors cannot.
#
# Version:  onnxruntime 1.31.1 and openvino 2026.4.1, CPU, beside onnx 1.23.2's reference evaluator
# Expected: In a graph whose every tensor is float16, 300 squared is infinite (the largest float16 is 65,504), and so is
#           the root of the mean of such squares.
# Seen:     Both runtimes answer 300, OpenVINO even with INFERENCE_PRECISION_HINT=f16: they compute in float32 and
#           narrow at the end. The reference evaluator answers infinity, as hardware does that computes as the graph
#           says. So does OpenVINO on a processor with avx512_fp16 (Xeons of 2023 and later), with f16, and just as well
#           with EXECUTION_MODE_HINT=ACCURACY; without a hint, and with f32, it is 300 there too.
# Costs:    Comparing float16 and float32 exports on the CPU finds no overflow, whatever the pictures: it appears on the
#           device, and on the largest defects first. On a new server it appears where accuracy was asked for.
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
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


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
hints = {
    "no hint": {},
    "f32": {"INFERENCE_PRECISION_HINT": "f32"},
    "f16": {"INFERENCE_PRECISION_HINT": "f16"},
    "accuracy": {"EXECUTION_MODE_HINT": "ACCURACY"},
}
got = {"ONNX Runtime": float(onnxruntime_(data, x)[0])}
for name, hint in hints.items():
    got[f"OpenVINO, {name}"] = float(core.compile_model(core.read_model(data), "CPU", hint)([x])[0][0])
half = "avx512_fp16" in Path("/proc/cpuinfo").read_text()
print("as written:", exact, got, "with avx512_fp16" if half else "without avx512_fp16")
seen = {"as written: infinite": exact == float("inf")}
for name, value in got.items():
    wanted = float("inf") if half and name in ("OpenVINO, f16", "OpenVINO, accuracy") else 300
    seen[f"{name}: {wanted}"] = value == wanted

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
