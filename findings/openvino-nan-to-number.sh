#!/usr/bin/env bash
# OpenVINO's CPU plugin turns not-a-number into a number.
#
# Version:  openvino 2026.4.1 beside onnxruntime 1.31.1, CPU, x86-64, float32
# Expected: NaN goes through Relu, Clip, Exp, HardSigmoid, Max and Min, as in ONNX Runtime and NumPy.
# Seen:     Relu gives 0, Clip its lower bound, Exp infinity, HardSigmoid 1, Max and Min the other operand; Abs, Sqrt,
#           Sigmoid and Tanh keep NaN. With AVX-512, Greater(NaN, 0.5) is true as well; with AVX2 it is false.
# Costs:    A network with one Relu or Clip answers a finite score for features that are not numbers: a check of the
#           output for NaN never fires, and the part gets a verdict.
# Instead:  Look for NaN where it can arise, by something that propagates: x - x, or a sum, of the input of each stage.
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


x = np.array([[1, np.nan, -2, 3]], np.float32)
bounds = [("low", np.float32(-1)), ("high", np.float32(2)), ("half", np.float32(0.5))]
inputs = {"Clip": ["low", "high"], "Max": ["half"], "Min": ["half"], "Greater": ["half"]}
seen = {}
for op in ("Relu", "Clip", "Exp", "HardSigmoid", "Max", "Min", "Greater", "Abs", "Sqrt", "Sigmoid", "Tanh"):
    extra = inputs.get(op, [])
    kind = TensorProto.BOOL if op == "Greater" else TensorProto.FLOAT
    data = model(
        [helper.make_node(op, ["x", *extra], ["y"])],
        [("x", TensorProto.FLOAT, [1, 4])],
        [("y", kind, [1, 4])],
        [constant for constant in bounds if constant[0] in extra],
    )
    reference, got = onnxruntime_(data, x)[0, 1], openvino_(data, x)[0, 1]
    print(f"{op}(NaN): ONNX Runtime {reference}, OpenVINO {got}")
    if op in ("Abs", "Sqrt", "Sigmoid", "Tanh"):
        seen[f"{op} keeps NaN in both"] = bool(np.isnan(reference) and np.isnan(got))
    elif op != "Greater":
        seen[f"{op} loses NaN in OpenVINO alone"] = bool(np.isnan(reference) and not np.isnan(got))

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
