#!/usr/bin/env bash
# OpenVINO reduces over all axes where a model of opset 13 to 17 names one.
#
# Version:  openvino 2026.4.1, CPU, beside onnxruntime 1.31.1
# Expected: ReduceLogSumExp, ReduceLogSum and ReduceL1 with the attribute axes=[1] reduce axis 1. Axes became an input
#           of these operators only in opset 18.
# Seen:     In opsets 13 to 17 the three reduce over every axis: one number, of shape (1, 1, 1), which broadcasts into
#           whatever follows. In opsets 11 and 18 they are right, and ReduceMax and ReduceL2 are right in all of them.
# Costs:    A mixture's log-likelihood (log-sum-exp over components) is off by orders of magnitude, without an error.
# Instead:  Export at opset 18 or later, or write log-sum-exp out as ReduceMax, Sub, Exp, ReduceSum, Log, Add.
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


x = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 10 + 1
seen = {}
for op in ("ReduceLogSumExp", "ReduceLogSum", "ReduceL1", "ReduceMax", "ReduceL2"):
    for opset in (11, 13, 17, 18):
        node = (
            helper.make_node(op, ["x", "axes"], ["y"], keepdims=1)
            if opset == 18
            else helper.make_node(op, ["x"], ["y"], axes=[1], keepdims=1)
        )
        data = model(
            [node],
            [("x", TensorProto.FLOAT, [2, 3, 4])],
            [("y", TensorProto.FLOAT, ["a", "b", "c"])],
            [("axes", np.array([1]))] if opset == 18 else [],
            opset,
        )
        right, got = onnxruntime_(data, x), openvino_(data, x)
        equal = right.shape == got.shape and np.allclose(right, got, rtol=1e-5)
        wrong = op in ("ReduceLogSumExp", "ReduceLogSum", "ReduceL1") and opset in (13, 17)
        print(f"{op}, opset {opset}: shapes {right.shape} and {got.shape}, equal {equal}")
        seen[f"{op}, opset {opset}, is {'wrong' if wrong else 'right'}"] = equal != wrong

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
