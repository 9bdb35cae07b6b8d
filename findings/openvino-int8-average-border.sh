#!/usr/bin/env bash
# OpenVINO pads a quantised map before an average with the integer 0 instead of the zero point.
#
# Version:  openvino 2026.4.1, CPU plugin, beside onnxruntime 1.31.1 (optimisations on and off) and NumPy 2.4.6
# Expected: AveragePool with pads and count_include_pad=1 takes zeros outside. Between QuantizeLinear and
#           DequantizeLinear too: a zero is the integer zero_point there.
# Seen:     The pool runs on the integers with 0 outside, which means -zero_point * scale. With a zero point of 128 and
#           a scale of 0.05, over a map of standard normal noise, the corners are 3.6 too low and the edges 2.1. The
#           inside is right to the last digit, and so are zero points of 0, MaxPool, and count_include_pad=0. ONNX
#           Runtime is right.
# Costs:    torch.nn.AvgPool2d counts the padding unless told otherwise, and PatchCore smooths its features with such a
#           pool, 3 x 3 with padding 1. Quantised features of both signs have a zero point in the middle: all along the
#           picture's edge they lie far from what was trained, and good parts are rejected there. After a ReLU, with
#           zero point 0, nothing is seen.
# Instead:  Quantise such layers symmetrically (int8, zero point 0), leave the pool out of quantisation, or use
#           count_include_pad=0.
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

SCALE, SIDE = 0.05, 6
core = ov.Core()
x = np.random.default_rng(0).normal(size=(1, 1, SIDE, SIDE)).astype(np.float32)


def model(zero_point, include, back, kind="AveragePool"):
    """Quantised and back, pooled 3 x 3 with padding 1, and (`back`) quantised again."""
    more = {"count_include_pad": include} if kind == "AveragePool" else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node(kind, ["d"], ["p" if back else "y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], **more),
    ]
    if back:
        nodes += [
            helper.make_node("QuantizeLinear", ["p", "scale", "zero"], ["r"]),
            helper.make_node("DequantizeLinear", ["r", "scale", "zero"], ["y"]),
        ]
    shape = [1, 1, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.float32(SCALE), "scale"), numpy_helper.from_array(zero_point, "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def onnxruntime_(made, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0][0, 0]


def openvino_(made):
    return np.array(core.compile_model(core.read_model(made.SerializeToString()), "CPU")([x])[0])[0, 0]


def by_hand(zero_point):
    """The average with zeros outside, of x as its integers tell it."""
    limits = np.iinfo(zero_point.dtype)
    integers = np.clip(np.round(x[0, 0] / np.float32(SCALE)) + int(zero_point), limits.min, limits.max)
    padded = np.pad((integers - int(zero_point)) * SCALE, 1)
    return sum(padded[i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)) / 9


off = {}
for zero_point in (np.uint8(128), np.uint8(20), np.int8(10), np.uint8(0), np.int8(0)):
    for back in (False, True):
        made = model(zero_point, 1, back)
        reference = onnxruntime_(made, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        difference = openvino_(made) - reference
        key = f"{zero_point.dtype} {zero_point}", back
        off[key] = {
            "corner": float(difference[0, 0]),
            "edge": float(difference[0, 2]),
            "inside": float(np.abs(difference[1:-1, 1:-1]).max()),
            "ONNX Runtime": float(
                np.abs(onnxruntime_(made, ort.GraphOptimizationLevel.ORT_ENABLE_ALL) - reference).max()
            ),
            "by hand": float(np.abs(by_hand(zero_point) - reference).max()) if not back else 0.0,
        }
        print(f"zero point {key[0]}, quantised again {back}:", {k: round(v, 3) for k, v in off[key].items()})
others = [
    float(np.abs(openvino_(made) - onnxruntime_(made, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)).max())
    for made in (model(np.uint8(128), 0, False), model(np.uint8(128), 0, True, "MaxPool"))
]
zero = [row for (kind, _), row in off.items() if kind.endswith(" 0")]
rest = {key: row for key, row in off.items() if row not in zero}
full = {"uint8 128": 128, "uint8 20": 20, "int8 10": 10}
seen = {
    "corners are off by 5/9 of zero point times scale": all(
        abs(row["corner"] + 5 / 9 * full[kind] * SCALE) < SCALE for (kind, _), row in rest.items()
    ),
    "edges by 3/9": all(abs(row["edge"] + 3 / 9 * full[kind] * SCALE) < SCALE for (kind, _), row in rest.items()),
    "the inside is right": max(row["inside"] for row in off.values()) < 1e-4,
    "with zero points of 0 all is right": max(abs(row["corner"]) for row in zero) < 1e-4,
    "count_include_pad=0 and MaxPool are right": max(others) < 1e-4,
    "ONNX Runtime agrees with NumPy": max(row["by hand"] for row in off.values()) < 1e-4,
    "its optimisations are within a step": max(row["ONNX Runtime"] for row in off.values()) < SCALE * 1.01,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
