#!/usr/bin/env bash
# Softmax of opset 12 and before is another function, and only ONNX Runtime computes it.
#
# Version:  onnxruntime 1.31.1, openvino 2026.4.1 and onnx 1.23.2 with its reference evaluator and version converter
# Expected: Up to opset 12 the standard makes a matrix of the tensor, all axes from `axis` on as one, and normalises
#           its rows; the default is axis 1. Of a map (N, C, H, W) all of C x H x W then sum to 1. From opset 13 on it
#           is one axis, the last by default. Who reads a model must do as its opset says.
# Seen:     OpenVINO and the reference evaluator normalise one axis in either opset: at each pixel the classes sum to 1,
#           without a word. Without the attribute the reference takes the last axis besides, so that there are three
#           answers. LogSoftmax is right in OpenVINO, and wrong in the reference evaluator, too. The version converter
#           to opset 13 keeps the old meaning (it flattens and reshapes): after it all three agree.
# Costs:    The same file gives values H x W times smaller in one runtime than in the other, and a test against the
#           reference evaluator sides with the wrong one. A threshold set in one is nonsense in the other.
# Instead:  Convert old models to opset 13 or later first (onnx.version_converter), for every runtime alike.
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
from onnx import TensorProto, helper, version_converter
from onnx.reference import ReferenceEvaluator

SHAPE = [2, 3, 4, 5]
x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def model(operator, opset, **attributes):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(made)
    return made


def openvino_(made):
    core = ov.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(core.compile_model(core.read_model(made.SerializeToString()), "CPU", settings)([x])[0])


RUNTIMES = {
    "ONNX Runtime": lambda made: ort.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"x": x})[0],
    "OpenVINO": openvino_,
    "reference": lambda made: ReferenceEvaluator(made).run(None, {"x": x})[0],
}


def sums(made, undo=lambda y: y):
    """Of each runtime: the sum of picture 0, and of one pixel of it."""
    results = {name: undo(run(made).astype(np.float64)) for name, run in RUNTIMES.items()}
    return {name: (round(float(y[0].sum()), 4), round(float(y[0, :, 0, 0].sum()), 4)) for name, y in results.items()}


old = model("Softmax", 11, axis=1)
cases = {
    "opset 11, axis 1": sums(old),
    "opset 11, no axis": sums(model("Softmax", 11)),
    "LogSoftmax of opset 11, axis 1": sums(model("LogSoftmax", 11, axis=1), np.exp),
    "opset 11 converted to 13": sums(version_converter.convert_version(old, 13)),
    "opset 13, axis 1": sums(model("Softmax", 13, axis=1)),
}
for case, found in cases.items():
    for name, (picture, pixel) in found.items():
        print(f"{case}: {name}: a picture sums to {picture}, the pixel to {pixel}")
whole, pixels = (lambda got: got[0] == 1.0 and got[1] < 1), (lambda got: got == (20.0, 1.0))
plain = [cases["opset 11, axis 1"], cases["opset 11, no axis"]]
last = cases["opset 11, no axis"]["reference"]
logarithm = cases["LogSoftmax of opset 11, axis 1"]
seen = {
    "opset 11: ONNX Runtime normalises the picture": all(whole(found["ONNX Runtime"]) for found in plain),
    "opset 11: OpenVINO normalises pixels": all(pixels(found["OpenVINO"]) for found in plain),
    "opset 11: the reference does so with axis 1, and rows without": pixels(plain[0]["reference"])
    and last[0] == 12.0
    and last[1] < 1,
    "LogSoftmax: OpenVINO does the picture, the reference pixels": whole(logarithm["OpenVINO"])
    and whole(logarithm["ONNX Runtime"])
    and pixels(logarithm["reference"]),
    "converted to 13 all normalise the picture": all(whole(got) for got in cases["opset 11 converted to 13"].values()),
    "opset 13: all normalise pixels": all(pixels(got) for got in cases["opset 13, axis 1"].values()),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
