#!/usr/bin/env bash
# Quantised to QOperator, what is read before a Relu as well as behind it loses all below 0.
#
# Version:  onnxruntime 1.31.1, quantize_static with QuantFormat.QOperator, onnx 1.23.2, sympy 1.14.0; run with
#           optimisations off and on
# Expected: Relu may be merged into what stands before it where nothing else reads that. Else it stays.
# Seen:     It is merged all the same: behind a convolution, or a sum, the Relu goes, its result takes the place of its
#           input, and every other reader gets that. A block of a pre-activation network (a sum, Relu, convolution, and
#           the sum added again) is off by more than three standard deviations of its output instead of a tenth of one.
#           x - Relu(x), the negative part, is 0 everywhere. Clip from 0 likewise. QDQ keeps the Relu and is right, and
#           so is QOperator with symmetric activations.
# Costs:    Networks of residual blocks with normalisation in front, and losses of the negative part, quantise without
#           a word; that accuracy falls is put down to the eight bits.
# Instead:  QuantFormat.QDQ; or nodes_to_exclude with such Relus, ActivationSymmetric.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 sympy==1.14.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)
SHAPE = [1, 8, 16, 16]
random = np.random.default_rng(0)
pictures = [random.standard_normal(SHAPE).astype(np.float32) for _ in range(16)]
constants = {name: (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32) for name in ("w", "w2", "w3")}
constants["zero"] = np.float32(0)


def convolution(source, weights, result):
    return helper.make_node("Conv", [source, weights], [result], name=result, pads=[1] * 4)


def node(kind, sources, result):
    return helper.make_node(kind, sources, [result], name=result)


sums = [convolution("x", "w", "a"), convolution("x", "w2", "b"), node("Add", ["a", "b"], "s")]
graphs = {
    "Relu behind a sum": [*sums, node("Relu", ["s"], "r"), convolution("r", "w3", "c"), node("Add", ["s", "c"], "y")],
    "Relu behind a convolution": [
        convolution("x", "w", "s"), node("Relu", ["s"], "r"), convolution("r", "w3", "c"), node("Add", ["s", "c"], "y"),
    ],
    "Clip from 0": [
        convolution("x", "w", "s"), node("Clip", ["s", "zero"], "r"), convolution("r", "w3", "c"),
        node("Add", ["s", "c"], "y"),
    ],
    "the negative part": [convolution("x", "w", "s"), node("Relu", ["s"], "r"), node("Sub", ["s", "r"], "y")],
    "no other reader": [convolution("x", "w", "s"), node("Relu", ["s"], "r"), convolution("r", "w3", "y")],
}


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = iter(pictures)

    def get_next(self):
        picture = next(self.left, None)
        return None if picture is None else {"x": picture}


def model(nodes):
    read = {name for made in nodes for name in made.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(path, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {"x": picture})[0] for picture in pictures])


seen = {}
for name, nodes in graphs.items():
    onnx.save(model(nodes), "model.onnx")
    right = run("model.onnx", ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    errors = {}
    for kind in (QuantFormat.QOperator, QuantFormat.QDQ):
        for symmetric in (False, True):
            quantize_static(
                "model.onnx", "small.onnx", Pictures(), quant_format=kind, activation_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": symmetric},
            )
            results = [
                run("small.onnx", level)
                for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
            ]
            errors[kind.name, symmetric] = [float(np.abs(got - right).max() / right.std()) for got in results]
            if kind is QuantFormat.QOperator and not symmetric and name == "the negative part":
                seen["the negative part is 0 everywhere"] = not results[0].any() and right.min() < -2
    print(f"{name}: the largest error in standard deviations of the output, optimisations off and on")
    for (kind, symmetric), found in errors.items():
        print(f"    {kind}{', symmetric' * symmetric}:", *(f"{error:.3f}" for error in found))
    bad = errors.pop(("QOperator", False))
    if name == "no other reader":
        seen[f"{name}: all are right"] = max(bad) < 0.3
    else:
        seen[f"{name}: off by more than 2.5 standard deviations"] = min(bad) > 2.5
    seen[f"{name}: QDQ and symmetric activations are right"] = max(max(found) for found in errors.values()) < 0.3

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
