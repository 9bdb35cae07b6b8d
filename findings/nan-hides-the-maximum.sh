#!/usr/bin/env bash
# One NaN makes ReduceMax and TopK return values that are not the largest.
#
# Version:  onnxruntime 1.31.1 and openvino 2026.4.1, CPU, x86-64, float32
# Expected: The maximum of 1, NaN, -2, 3 is NaN (NumPy) or 3 (fmax); TopK of 2 holds 3.
# Seen:     ONNX Runtime's ReduceMax gives 1: what stood before the NaN; the 3 behind it is never seen. TopK with k = 2
#           gives 1 and NaN in both runtimes. OpenVINO's ReduceMax of 9,216 numbers, the last of which is NaN, gives
#           -3.4e38; and among the "46 largest" of a map with 100 large values both runtimes return small ones,
#           depending on where the NaN is.
# Costs:    An image score that is the maximum or a quantile of an anomaly map turns *small* for a strange part with one
#           bad pixel: a finite score below the threshold, which reads as a good part.
# Instead:  Check the map, not its maximum: a sum over it is NaN whenever one element is.
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


def reduce_max(length):
    return model(
        [helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0)],
        [("x", TensorProto.FLOAT, [1, length])],
        [("y", TensorProto.FLOAT, [1])],
        [("axes", np.array([1]))],
    )


def top(k, length):
    return model(
        [helper.make_node("TopK", ["x", "k"], ["y", "index"])],
        [("x", TensorProto.FLOAT, [1, length])],
        [("y", TensorProto.FLOAT, [1, k]), ("index", TensorProto.INT64, [1, k])],
        [("k", np.array([k]))],
    )


few = np.array([[1, np.nan, -2, 3]], np.float32)
largest, two = onnxruntime_(reduce_max(4), few)[0], onnxruntime_(top(2, 4), few)[0]
two_openvino = openvino_(top(2, 4), few)[0]
print("1, NaN, -2, 3: ONNX Runtime ReduceMax", largest, "TopK", two, "; OpenVINO TopK", two_openvino)
flat = np.random.default_rng(0).random((1, 9216)).astype(np.float32)
flat[0, 5000:5100] = 100 + np.arange(100)


def with_nan(place):
    strange = flat.copy()
    strange[0, place] = np.nan
    return strange


lowest = float(openvino_(reduce_max(9216), with_nan(-1))[0])
print("9,216 numbers up to 199, the last NaN: OpenVINO ReduceMax", lowest)
runtimes = {"ONNX Runtime": onnxruntime_, "OpenVINO": openvino_}
places = (0, 1, 2, 5, 17, 100)
least = {
    name: [round(float(np.nanmin(run(top(46, 9216), with_nan(place)))), 2) for place in places]
    for name, run in runtimes.items()
}
print("9,216 numbers, 100 of them above 99, NaN at", places, ": least of the 46 largest", least)
seen = {
    "ONNX Runtime: ReduceMax is 1": float(largest) == 1.0,
    "ONNX Runtime: TopK of 2 misses 3": 3.0 not in two,
    "OpenVINO: TopK of 2 misses 3": 3.0 not in two_openvino,
    "OpenVINO: ReduceMax is below -1e38": lowest < -1e38,
    "both: TopK of 46 holds small numbers": all(min(values) < 1 for values in least.values()),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
