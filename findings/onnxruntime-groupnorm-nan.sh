#!/usr/bin/env bash
# GroupNormalization in ONNX Runtime gives NaN for finite inputs with a large mean.
#
# Version:  onnxruntime 1.31.1 beside openvino 2026.4.1, CPU, float32, opset 21
# Expected: Values of 300 with a standard deviation of 0.1 are well within float32 (24 bits): the normalised values are
#           off by about 1e-3, as in OpenVINO, and as in ONNX Runtime's own LayerNormalization.
# Seen:     NaN. At 100 with 0.5 the values are finite and off by 0.03. The operator is computed from its definition in
#           the standard, with the variance as mean of squares minus square of mean: the difference of two nearly equal
#           numbers turns negative, then comes the square root.
# Costs:    A network that was right in its framework is NaN for one bright, even picture, and only in this runtime.
# Instead:  Normalise by InstanceNormalization over the groups (Reshape before and after), or subtract the mean twice.
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


group = model(
    [helper.make_node("GroupNormalization", ["x", "scale", "bias"], ["y"], num_groups=2)],
    [("x", TensorProto.FLOAT, [1, 4, 64, 64])],
    [("y", TensorProto.FLOAT, [1, 4, 64, 64])],
    [("scale", np.ones(4, np.float32)), ("bias", np.zeros(4, np.float32))],
    opset=21,
)
errors = {}
for mean, deviation in ((0, 1), (100, 0.5), (300, 0.1)):
    x = (mean + deviation * np.random.default_rng(0).standard_normal((1, 4, 64, 64))).astype(np.float32)
    groups = x.astype(np.float64).reshape(1, 2, -1)
    centred = groups - groups.mean(-1, keepdims=True)
    exact = (centred / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)).reshape(x.shape)
    errors[mean] = [float(np.abs(run(group, x) - exact).max()) for run in (onnxruntime_, openvino_)]
    print(
        f"{mean} +- {deviation}: largest error of ONNX Runtime {errors[mean][0]:.2g}, of OpenVINO {errors[mean][1]:.2g}"
    )
seen = {
    "right at mean 0": errors[0][0] < 1e-5,
    "off by more than 0.01 at 100": errors[100][0] > 0.01 and errors[100][1] < 1e-3,
    "NaN at 300": bool(np.isnan(errors[300][0])) and errors[300][1] < 5e-3,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
