#!/usr/bin/env bash
# OpenCV's network module pads SAME_UPPER with stride 2 at the wrong side, and takes SAME_LOWER for SAME_UPPER.
#
# Version:  opencv-python-headless 5.0.0.93, cv2.dnn with its new and its classic engine, beside onnxruntime 1.31.1
# Expected: auto_pad pads so much that the result has ceil(size / stride) pixels, half on either side, and the odd one
#           at the end (SAME_UPPER) or at the start (SAME_LOWER). 3 x 3 with stride 2 over an even size: nothing
#           before, one behind.
# Seen:     The stride is left out: (kernel - 1) / 2, rounded down, is put before, as is right for stride 1. 3 x 3 with
#           stride 2 over even sizes, 5 x 5 likewise, is computed one pixel further up and left, for Conv, depthwise
#           Conv, MaxPool and AveragePool. Odd sizes are right. With SAME_LOWER and an even kernel the odd pixel lies at
#           the end. Shapes are right in all cases, nothing is said.
# Costs:    TensorFlow's networks (EfficientNet-Lite, MobileNet, through tf2onnx) have SAME_UPPER with stride 2 at every
#           halving: each map is taken one pixel of its input aside. Features are plausible, and others than those that
#           were trained.
# Instead:  Replace auto_pad by explicit pads in the graph (they depend on the input size) before cv2.dnn reads it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 opencv-python-headless==5.0.0.93
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)


def model(kind, kernel, stride, size, padding):
    many = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, **padding}
    stored = []
    if kind.endswith("Conv"):
        group = 4 if kind.startswith("depthwise") else 1
        weights = random.standard_normal((4, 4 // group, kernel, kernel)).astype(np.float32)
        stored = [numpy_helper.from_array(weights, "w")]
        many["group"] = group
    operation = kind.split()[-1]
    node = helper.make_node(operation, ["x", *(tensor.name for tensor in stored)], ["y"], **many)
    out = -(-size // stride)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, out, out])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def opencv(made, x, engine):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(made.SerializeToString(), np.uint8), engine)
    network.setInput(x)
    return network.forward()


def runtime(made, x):
    return ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def with_pads(made, before, after):
    """The same model with numbers instead of auto_pad."""
    copy = onnx.ModelProto()
    copy.CopyFrom(made)
    attributes = copy.graph.node[0].attribute
    del attributes[[one.name for one in attributes].index("auto_pad")]
    attributes.append(helper.make_attribute("pads", [before, before, after, after]))
    return copy


def verdict(kind, kernel, stride, size, mode):
    """Whether ONNX Runtime does as the standard says, whether OpenCV does, and whether it does as the header says."""
    made = model(kind, kernel, stride, size, {"auto_pad": mode})
    x = random.standard_normal((1, 4, size, size)).astype(np.float32)
    total = (-(-size // stride) - 1) * stride + kernel - size
    before = total // 2 if mode == "SAME_UPPER" else total - total // 2
    right = runtime(with_pads(made, before, total - before), x)
    half = (kernel - 1) // 2
    other = runtime(with_pads(made, half, max(total - half, 0)), x)
    got = [opencv(made, x, engine) for engine in (cv2.dnn.ENGINE_NEW, cv2.dnn.ENGINE_CLASSIC)]

    def close(one, two):
        return one.shape == two.shape and bool(np.allclose(one, two, atol=1e-4))

    return close(right, runtime(made, x)), [close(one, right) for one in got], all(close(one, other) for one in got)


KINDS = "Conv", "depthwise Conv", "MaxPool", "AveragePool"
wrong = {
    (kind, kernel, stride, size, mode): verdict(kind, kernel, stride, size, mode)
    for kind in KINDS
    for kernel, stride, size, mode in (
        (3, 2, 8, "SAME_UPPER"), (3, 2, 10, "SAME_UPPER"), (5, 2, 8, "SAME_UPPER"), (2, 1, 8, "SAME_LOWER"),
        (2, 2, 9, "SAME_LOWER"), (4, 2, 9, "SAME_LOWER"),
    )
}
right = {
    (kind, kernel, stride, size, mode): verdict(kind, kernel, stride, size, mode)
    for kind in KINDS
    for kernel, stride, size, mode in (
        (3, 2, 9, "SAME_UPPER"), (5, 2, 9, "SAME_UPPER"), (3, 1, 8, "SAME_UPPER"), (2, 1, 8, "SAME_UPPER"),
    )
}
for (kind, kernel, stride, size, mode), (agree, opencvs, told) in {**wrong, **right}.items():
    print(f"{kind}, kernel {kernel}, stride {stride}, size {size}, {mode}: right? {agree}, OpenCV {opencvs}")
seen = {
    "ONNX Runtime does as the standard says": all(row[0] for row in (*wrong.values(), *right.values())),
    "stride 2 over even sizes, and SAME_LOWER: wrong in both engines": not any(any(row[1]) for row in wrong.values()),
    "it is what half of the kernel before gives, without the stride": all(row[2] for row in wrong.values()),
    "odd sizes and stride 1 are right": all(all(row[1]) for row in right.values()),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
