#!/usr/bin/env bash
# ONNX Runtime's sums over a large picture are off by per cents: at 16,777,216 a sum of ones stops growing.
#
# Version:  onnxruntime 1.31.1, CPU, float32, beside NumPy 2.4.6 and openvino 2026.4.1
# Expected: A sum of n float32 is right to about 1e-6 whatever n: NumPy and torch add in pairs or blocks, and a graph
#           states the sum, not an order.
# Seen:     ReduceL1, ReduceSumSquare and ReduceL2 add one number after the other into one float32. Of 40 million ones
#           the sum is 16,777,216. Of a megapixel of 0.1 the L1 norm is 1 % too large, the sum of squares 1.4 % too
#           small; of 12 megapixels it is +11 % and -7 %. ReduceSum and ReduceMean keep a few sums beside each other:
#           the mean of 40 million 0.1 is 0.0957. OpenVINO's mean is off too (0.0976); its sum of squares is 2 % off
#           where ONNX Runtime's is 34 %. NumPy in float32 is right to 1e-6.
# Costs:    The mean or energy of an anomaly map, a norm over a large picture, depends on its size: the same evenly grey
#           part measures another score with a larger camera.
# Instead:  Reduce in two steps, columns first, then rows: each sum is then of thousands; or pool before.
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

EXACT = {
    "ReduceL1": lambda x: np.abs(x).sum(),
    "ReduceSumSquare": lambda x: np.square(x).sum(),
    "ReduceL2": lambda x: np.sqrt(np.square(x).sum()),
    "ReduceMean": lambda x: x.mean(),
}


def model(operator, shape, steps):
    """`operator` over the last two axes, at once or one after the other."""
    names = ["x", *[f"t{step}" for step in range(len(steps) - 1)], "y"]
    graph = helper.make_graph(
        [
            helper.make_node(operator, [names[i], f"axes{i}"], [names[i + 1]], keepdims=1)
            for i in range(len(steps))
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])],
        [numpy_helper.from_array(np.array(axes), f"axes{i}") for i, axes in enumerate(steps)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def onnxruntime_(data, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return float(session.run(None, {"x": x})[0].item())


def openvino_(data, x):
    core = ov.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return float(np.array(core.compile_model(core.read_model(data), "CPU", settings)([x])[0]).item())


found = {}
for height, width in ((1024, 1024), (3000, 4000), (5000, 8000)):
    for value in (0.1, 1.0):
        x = np.full((1, 1, height, width), value, np.float32)
        for operator, of in EXACT.items():
            exact = x.size * value * {"ReduceSumSquare": value}.get(operator, 1)
            exact = {"ReduceL2": value * x.size**0.5, "ReduceMean": value}.get(operator, exact)
            at_once = model(operator, x.shape, ([2, 3],))
            values = [onnxruntime_(at_once, x), openvino_(at_once, x), float(of(x))]
            if operator == "ReduceL1":
                values.append(onnxruntime_(model(operator, x.shape, ([3], [2])), x))
            found[operator, height, value] = [got / exact - 1 for got in values]
            text = ", ".join(
                f"{name} {got:.7g} ({got / exact - 1:+.2%})"
                for name, got in zip(("ONNX Runtime", "OpenVINO", "NumPy", "ONNX Runtime in two steps"), values)
            )
            print(f"{operator} of {height} x {width} times {value}: {text}")
seen = {
    "1 megapixel of 0.1: L1 and sum of squares off by about 1 %": all(
        0.005 < abs(found[operator, 1024, 0.1][0]) < 0.03 for operator in ("ReduceL1", "ReduceSumSquare")
    ),
    "12 megapixels of 0.1: by more than 5 %": all(
        abs(found[operator, 3000, 0.1][0]) > 0.05 for operator in ("ReduceL1", "ReduceSumSquare")
    ),
    "40 megapixels of 1: the sums stop at 2 to the 24": all(
        abs(found[operator, 5000, 1.0][0] + 1 - 2**24 / 4e7) < 1e-6 for operator in ("ReduceL1", "ReduceSumSquare")
    ),
    "the mean of 40 megapixels of 0.1 is off by more than 1 % in both": all(
        abs(off) > 0.01 for off in found["ReduceMean", 5000, 0.1][:2]
    ),
    "NumPy is right": all(abs(offs[2]) < 1e-5 for offs in found.values()),
    "in two steps ONNX Runtime is right to 0.1 %": all(abs(offs[3]) < 1e-3 for offs in found.values() if len(offs) > 3),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
