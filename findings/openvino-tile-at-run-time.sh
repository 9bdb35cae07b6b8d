#!/usr/bin/env bash
# OpenVINO returns what lay in memory where a batch of two is tiled along three axes by numbers known at run time only.
#
# Version:  openvino 2026.4.1, CPU plugin (x86-64), float32, beside onnx 1.23.2's reference evaluator and onnxruntime
#           1.31.1
# Expected: Tile repeats its input: each number of the result is one of the input's. It does not matter whether the
#           repeats are a constant, an input, or the Shape of another tensor.
# Seen:     With repeats as an input or from a Shape, and a batch of 2 or more of which all three axes behind it are
#           repeated, the result has the right shape and holds numbers that the input does not (zeros, remnants, 1e38;
#           mostly nothing else), without an error. A batch of 1, repeats along one or two axes, and constant repeats
#           are right, also with dynamic shapes.
# Costs:    Features spread over a map whose size comes from the picture (repeat() of torch, tile() of NumPy, exported
#           with dynamic axes) are right picture by picture, and garbage once two are batched.
# Instead:  Expand or Concat, or a Tile along each axis by itself; fix the sizes before the export, so that the repeats
#           are constants.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

core = ov.Core()
random = np.random.default_rng(0)


def model(shape, repeats, source):
    """Tile by a constant, by an input, or by the shape of an input."""
    value = helper.make_tensor_value_info
    inputs, nodes, stored = [value("x", TensorProto.FLOAT, shape)], [], []
    if source == "constant":
        stored = [numpy_helper.from_array(np.array(repeats), "r")]
    elif source == "input":
        inputs.append(value("r", TensorProto.INT64, [len(repeats)]))
    else:
        inputs.append(value("like", TensorProto.FLOAT, [f"n{axis}" for axis in range(len(repeats))]))
        nodes = [helper.make_node("Shape", ["like"], ["r"])]
    nodes.append(helper.make_node("Tile", ["x", "r"], ["y"]))
    graph = helper.make_graph(nodes, "graph", inputs, [value("y", TensorProto.FLOAT, None)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def three(shape, repeats, source, declared=None):
    """Whether the reference, ONNX Runtime and OpenVINO are right, and what OpenVINO gave."""
    x = random.random(shape, dtype=np.float32)
    made = model(list(declared or shape), repeats, source)
    fed = {"x": x}
    if source == "input":
        fed["r"] = np.array(repeats)
    elif source == "shape":
        fed["like"] = np.zeros(repeats, np.float32)
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    got = np.array(compiled(fed)[0])
    right = np.tile(x, repeats)
    others = [ReferenceEvaluator(made).run(None, fed)[0], session.run(None, fed)[0]]
    agree = all(np.array_equal(one, right) for one in others)
    return agree, np.array_equal(got, right), got.shape == right.shape, float((~np.isin(got, x)).mean())


shape, repeats = (2, 3, 4, 5), (1, 2, 2, 2)
wrong = {
    "input": three(shape, repeats, "input"),
    "shape": three(shape, repeats, "shape"),
    "larger": three((3, 8, 16, 16), repeats, "input"),
    "five dimensions": three((2, 3, 4, 5, 2), (1, 1, 2, 2, 2), "input"),
}
right = {
    "constant": three(shape, repeats, "constant"),
    "constant, dynamic shape": three(shape, repeats, "constant", ("n", 3, "h", "w")),
    "batch of 1": three((1, 3, 4, 5), repeats, "input"),
    "batch of 1, repeated": three((1, 3, 4, 5), (2, 2, 2, 2), "input"),
    "two axes": three(shape, (1, 1, 2, 2), "input"),
    "other two axes": three(shape, (1, 2, 2, 1), "input"),
}
for name, (others, right_, _, foreign) in {**wrong, **right}.items():
    print(f"{name}: others right {others}, OpenVINO right {right_}, {foreign:.0%} of its numbers not in the input")
seen = {
    "the reference and ONNX Runtime are right everywhere": all(row[0] for row in (*wrong.values(), *right.values())),
    "repeats known at run time: wrong numbers of the right shape": all(not row[1] and row[2] for row in wrong.values()),
    "some of them are not in the input": all(row[3] > 0 for row in wrong.values()),
    "constants, a batch of 1 and two axes are right": all(row[1] for row in right.values()),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
