#!/usr/bin/env bash
# ONNX Runtime's QOperator quantisation gives the second reader of a shared bias the first one's scale.
#
# Version:  onnxruntime 1.31.1, quantize_static with quant_format=QOperator, onnx 1.23.2, sympy 1.14.0
# Expected: Two convolutions that share weights and bias (one network over two scales or two cameras, exported once)
#           quantise as well as two with equal copies: errors of a few per cent of the map's deviation.
# Seen:     An integer bias has the step input scale x weight scale. It is stored once, by the scale of the first
#           reader's input, and the second takes the same integers by its own: for an input ten times as large its bias
#           comes out ten times too large, for one a tenth as large a tenth. No warning. Copies of the bias are
#           right, and so is the QDQ format, in which the step is stored beside the integers.
# Costs:    One scale of a pyramid is shifted by channel, in all places alike; the other is perfect. A test of the first
#           output, or of the network at one scale, passes.
# Instead:  QDQ; or copy each shared bias in the graph before it is quantised.
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
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

logging.disable(logging.WARNING)
SHAPE = [1, 8, 16, 16]
random = np.random.default_rng(0)
pictures = [random.standard_normal(SHAPE).astype(np.float32) for _ in range(8)]
bias = 2 * random.standard_normal(8).astype(np.float32)
constants = {"w": (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32), "b": bias, "b2": bias.copy()}


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = iter(pictures)

    def get_next(self):
        picture = next(self.left, None)
        return None if picture is None else {"x": picture}


def model(factor, second):
    """Two convolutions of the same weights, the second over the input times a factor."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["first"], name="first", pads=[1] * 4),
        node("Mul", ["x", "factor"], ["x2"], name="x2"),
        node("Conv", ["x2", "w", second], ["second"], name="second", pads=[1] * 4),
    ]
    stored = {**constants, "factor": np.float32(factor)}
    used = {name for made in nodes for name in made.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("first", "second")],
        [numpy_helper.from_array(array, name) for name, array in stored.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(made):
    session = ort.InferenceSession(made, providers=["CPUExecutionProvider"])
    return [np.stack(maps) for maps in zip(*(session.run(None, {"x": picture}) for picture in pictures), strict=True)]


def errors(factor, second, form):
    """By output, the error in deviations of the map; and by how much each channel of the second is shifted."""
    onnx.save(model(factor, second), "float.onnx")
    quantize_static("float.onnx", "quantised.onnx", Pictures(), quant_format=form)
    right, got = run("float.onnx"), run("quantised.onnx")
    shift = (got[1] - right[1]).mean(axis=(0, 1, 3, 4))
    return [float(np.abs(a - b).mean() / a.std()) for a, b in zip(right, got, strict=True)], shift


seen = {}
for factor in (10, 0.1):
    rows = {
        "QOperator, shared": errors(factor, "b", QuantFormat.QOperator),
        "QOperator, copy": errors(factor, "b2", QuantFormat.QOperator),
        "QDQ, shared": errors(factor, "b", QuantFormat.QDQ),
    }
    for name, (both, _) in rows.items():
        print(f"input x {factor}, {name}: errors {both[0]:.3f} and {both[1]:.3f} of the map's deviation")
    (first, second), shift = rows["QOperator, shared"]
    print(f"    bias {np.round(bias[:4], 2).tolist()}, shift of the second map {np.round(shift[:4], 2).tolist()}")
    seen[f"x {factor}: the first is right, the second is not"] = first < 0.03 and second > 0.4
    seen[f"x {factor}: its bias is {factor} times what it should be"] = bool(
        np.allclose(shift, (factor - 1) * bias, atol=0.05 * abs(factor - 1) * np.abs(bias).max())
    )
    seen[f"x {factor}: a copy of the bias, and QDQ, are right"] = all(
        max(rows[name][0]) < 0.03 for name in ("QOperator, copy", "QDQ, shared")
    )

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
