#!/usr/bin/env bash
# OpenVINO ignores antialias, keep_aspect_ratio_policy and exclude_outside of ONNX Resize, without a word.
#
# Version:  openvino 2026.4.1, CPU, beside onnxruntime 1.31.1; opset 18 to 20
# Expected: Resize with antialias=1 filters, as ONNX Runtime does, or the model is refused.
# Seen:     The result equals that of the same model without the attribute, to the bit;
#           keep_aspect_ratio_policy="not_larger" gives a picture of another *shape* than the standard states. No error,
#           no warning.
# Costs:    A preprocessing exported with its antialiased resize runs aliased: on noise 100 grey levels off, on fabric
#           or brushed metal moiré that a detector takes for a defect.
# Instead:  Resize outside the graph, or as a convolution or matrix product with the filter's weights.
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


x = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 64)).astype(np.float32)


def resize(sizes, **attributes):
    return model(
        [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)],
        [("x", TensorProto.FLOAT, [1, 1, 64, 64])],
        [("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [("sizes", np.array(sizes))],
    )


plain, smooth = (resize([1, 1, 20, 20], mode="linear", antialias=flag) for flag in (0, 1))
filtered, got, aliased = onnxruntime_(smooth, x), openvino_(smooth, x), openvino_(plain, x)
print(f"antialias=1: up to {np.abs(filtered - got).max():.0f} grey levels between ONNX Runtime and OpenVINO")
fit = resize([20, 40], mode="nearest", keep_aspect_ratio_policy="not_larger", axes=[2, 3])
shapes = onnxruntime_(fit, x).shape, openvino_(fit, x).shape
print("not larger than 20 x 40, from a square: ONNX Runtime", shapes[0], "OpenVINO", shapes[1])
outside = {flag: resize([1, 1, 100, 100], mode="cubic", exclude_outside=flag) for flag in (0, 1)}
seen = {
    "antialias=1 changes nothing in OpenVINO": np.array_equal(got, aliased),
    "and lies more than 40 grey levels off": bool(np.abs(filtered - got).max() > 40),
    "keep_aspect_ratio_policy is ignored": shapes == ((1, 1, 20, 20), (1, 1, 20, 40)),
    "exclude_outside is ignored": np.array_equal(openvino_(outside[0], x), openvino_(outside[1], x))
    and not np.allclose(onnxruntime_(outside[0], x), onnxruntime_(outside[1], x)),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
