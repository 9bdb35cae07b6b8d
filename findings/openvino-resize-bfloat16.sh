#!/usr/bin/env bash
# On newer Xeons OpenVINO's Resize leaves 8 significant bits of a picture, even where it only repeats pixels.
#
# Version:  openvino 2026.4.1, CPU plugin, no hint given, on a processor with bfloat16 (avx512_bf16 or amx_bf16: a Xeon,
#           Zen 4), beside onnxruntime 1.31.1; elsewhere the script says so and shows nothing
# Expected: bfloat16, which is the plugin's choice there, is for convolutions and matrix products, where it is faster.
#           A Resize that repeats pixels copies them; a graph without any product, of enlarging an anomaly map or
#           reducing a picture, is computed in float32.
# Seen:     Resize of mode nearest makes of 257, 1001 and 4095 the numbers 256, 1000 and 4096. Linear and cubic are
#           rounded likewise: a map of 300 +- 1 is off by 2. The same graph with Pad, MaxPool, ReduceMax or TopK instead
#           is exact, and so is Resize in a graph that is compiled with INFERENCE_PRECISION_HINT=f32 or
#           EXECUTION_MODE_HINT=ACCURACY.
# Costs:    A label map of more than 256 regions, a height map or a 12-bit picture that is resized in the graph is
#           another one on the server than on the laptop, where no hint is needed. Places counted in pixels, scores
#           close to a threshold, and differences of two nearly equal maps go wrong.
# Instead:  INFERENCE_PRECISION_HINT=f32 in every compile_model, or EXECUTION_MODE_HINT=ACCURACY.
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

core = ov.Core()
if core.get_property("CPU", "INFERENCE_PRECISION_HINT") != ov.Type.bf16:
    print("nothing to show: the plugin does not choose bfloat16 on this processor")
    sys.exit()
constants = {
    "twice": np.array([1, 1, 2, 2], np.float32), "half": np.array([1, 1, 0.5, 0.5], np.float32),
    "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "rows": np.array([3]), "three": np.array([3]),
}
nodes = {
    "nearest": helper.make_node("Resize", ["x", "", "twice"], ["y"], mode="nearest"),
    "linear": helper.make_node("Resize", ["x", "", "half"], ["y"], mode="linear"),
    "cubic": helper.make_node("Resize", ["x", "", "twice"], ["y"], mode="cubic"),
    "Pad": helper.make_node("Pad", ["x", "edges"], ["y"]),
    "MaxPool": helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2]),
    "ReduceMax": helper.make_node("ReduceMax", ["x", "rows"], ["y"]),
    "TopK": helper.make_node("TopK", ["x", "three"], ["y", "places"]),
}
settings = {
    "no hint": {}, "f32": {"INFERENCE_PRECISION_HINT": "f32"}, "accuracy": {"EXECUTION_MODE_HINT": "ACCURACY"},
}


def model(node, shape):
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(constants[name], name) for name in node.input if name in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def run(made, picture, options):
    return np.array(core.compile_model(core.read_model(made), "CPU", options)(picture)[0])


levels = np.array([[[[1, 255, 256, 257, 1001, 4095]]]], np.float32)
repeated = run(model(nodes["nearest"], levels.shape), levels, {})[0, 0, 0, ::2]
print("repeated by nearest:", levels.ravel().astype(int).tolist(), "->", repeated.astype(int).tolist())
picture = (300 + np.random.default_rng(0).normal(size=(1, 1, 64, 64))).astype(np.float32)
errors = {}
for name, node in nodes.items():
    made = model(node, picture.shape)
    right = ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(["y"], {"x": picture})[0]
    results = {kind: run(made, picture, options) for kind, options in settings.items()}
    errors[name] = {kind: float(np.abs(result - right).max()) for kind, result in results.items()}
    print(f"{name} of 300 +- 1 is off by", ", ".join(f"{error:.4f} ({kind})" for kind, error in errors[name].items()))
resizes = ("nearest", "linear", "cubic")
seen = {
    "nearest keeps 8 bits of each level": repeated.tolist() == [1, 255, 256, 256, 1000, 4096],
    "every mode of Resize is off by 0.5 or more": all(errors[name]["no hint"] > 0.5 for name in resizes),
    "the other operators are exact": not any(errors[name]["no hint"] for name in nodes if name not in resizes),
    "with either hint Resize is right": all(
        errors[name][kind] < 1e-3 for name in resizes for kind in ("f32", "accuracy")
    ),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
