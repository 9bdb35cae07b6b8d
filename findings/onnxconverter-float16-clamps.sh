#!/usr/bin/env bash
# onnxconverter-common's float16 conversion caps weights at 10,000, lifts small ones, and breaks graphs with a Cast.
#
# Version:  onnxconverter-common 1.16.0, beside onnxruntime 1.31.1
# Expected: A weight of -60,000 or 3e-8 fits float16 and is rounded to its nearest float16. A valid graph stays valid.
# Seen:     20,000 and -60,000 become +-10,000, and 1e-9 and 3e-8 become 1.2e-7. A graph that takes a uint8 frame and
#           casts it to float32 is no valid model any more: the Cast's output is declared float16, its target stays
#           float32, and ONNX Runtime refuses it with a type error.
# Costs:    Scales and inverse variances in the weights are off by several times; a graph that takes camera frames
#           cannot be converted at all.
# Instead:  Cast in the framework before the export (float16 modules, float32 islands), or pass max_finite_val=65504 and
#           min_positive_val=6e-8 and block the Cast.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 onnxconverter-common==1.16.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
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


import warnings

from onnxconverter_common import float16

warnings.simplefilter("ignore")
ort.set_default_logger_severity(4)
weights = np.array([[20000, -60000, 1e-9, 3e-8]], np.float32)
scale = model(
    [helper.make_node("Mul", ["x", "weights"], ["y"])],
    [("x", TensorProto.FLOAT, [1, 4])],
    [("y", TensorProto.FLOAT, [1, 4])],
    [("weights", weights)],
)
converted = float16.convert_float_to_float16(onnx.load_from_string(scale), keep_io_types=True)
got = onnxruntime_(converted.SerializeToString(), np.ones((1, 4), np.float32))[0]
print("weights", weights[0], "as float16", weights[0].astype(np.float16), "converted", got)
camera = model(
    [helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT), helper.make_node("Conv", ["x", "w"], ["y"])],
    [("frame", TensorProto.UINT8, [1, 3, 4, 4])],
    [("y", TensorProto.FLOAT, [1, 4, 4, 4])],
    [("w", np.ones((4, 3, 1, 1), np.float32))],
)
broken = float16.convert_float_to_float16(onnx.load_from_string(camera), keep_io_types=True)
try:
    ort.InferenceSession(broken.SerializeToString())
    problem = ""
except Exception as error:
    problem = str(error)
print("uint8 frame, Cast, Conv:", problem or "valid")
seen = {
    "large weights are capped at 10,000": got[:2].tolist() == [10000, -10000],
    "small ones are lifted to 1.2e-7": np.allclose(got[2:], 1.1920929e-07, rtol=1e-3),
    "float16 itself would hold them": float(weights[0, 1].astype(np.float16)) == -60000
    and weights[0, 3].astype(np.float16) > 0,
    "a Cast of uint8 makes an invalid model": "Type Error" in problem,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
