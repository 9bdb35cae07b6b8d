#!/usr/bin/env bash
# onnx.version_converter moves what a linear Resize or Upsample makes by up to half a pixel, and makes Hardmax another.
#
# Version:  onnx 1.23.2's convert_version from opset 9, 10 and 11 to 13, run before and after by onnxruntime 1.31.1
# Expected: The converted model computes what the model computed, or the conversion stops with an error, as it does
#           where there is no adapter.
# Seen:     Up to opset 10 pixel 0 of the result lies on pixel 0 of the input ("asymmetric"). The converted node has no
#           coordinate_transformation_mode, and the default of opset 11 is "half_pixel": twice as large, a ramp of 0, 1,
#           2, 3 becomes 0, 0.25, 0.75, 1.25 ... instead of 0, 0.5, 1, 1.5 ... Nearest by whole factors hides it,
#           nearest by a third does not. (Resize is onnx's open issue 8480; Upsample goes through it.) Hardmax of opset
#           11 takes all axes behind `axis` as one: a 2 x 2 x 3 input has two ones before and six after. Softmax and
#           LogSoftmax, which changed likewise, are converted rightly.
# Costs:    A map that is enlarged inside the graph lies half a coarse pixel aside after an upgrade, 3.5 picture pixels
#           with a factor of 8: defects are marked beside where they are, scores hardly change, checkers are content.
# Instead:  Set coordinate_transformation_mode="asymmetric" (and nearest_mode="floor") in the converted model; compare
#           before and after on an input that is neither constant nor symmetric.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, version_converter

ort.set_default_logger_severity(4)


def model(opset, kind, shape, scales=None, **attributes):
    inputs = ["x"] if scales is None else ["x", "scales"]
    constants = [] if scales is None else [numpy_helper.from_array(np.array(scales, np.float32), "scales")]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def both(made, x):
    """What the model gives before and after its conversion."""
    results = []
    for each in (made, version_converter.convert_version(made, 13)):
        session = ort.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"])
        results.append(session.run(None, {"x": x})[0])
    return results


ramp = np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6)
cases = {
    "Resize 10, linear x 2": (model(10, "Resize", ramp.shape, [1, 1, 1, 2], mode="linear"), ramp),
    "Upsample 9, linear x 2": (model(9, "Upsample", ramp.shape, [1, 1, 1, 2], mode="linear"), ramp),
    "Resize 10, nearest x 2": (model(10, "Resize", ramp.shape, [1, 1, 1, 2], mode="nearest"), ramp),
    "Resize 10, nearest x 1/3": (model(10, "Resize", ramp.shape, [1, 1, 1, 1 / 3], mode="nearest"), ramp),
}
cube = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
for kind in ("Hardmax", "Softmax", "LogSoftmax"):
    cases[f"{kind} 11"] = model(11, kind, cube.shape, axis=1), cube
found = {}
for name, (made, x) in cases.items():
    onnx.checker.check_model(version_converter.convert_version(made, 13))
    before, after = both(made, x)
    found[name] = before, after
    rounded = [each.astype(float).ravel().round(2).tolist() for each in (before, after)]
    print(f"{name}:\n  before {rounded[0]}\n  after  {rounded[1]}")


def same(name):
    before, after = found[name]
    return before.shape == after.shape and bool(np.allclose(before, after, atol=1e-5))


half = np.clip((np.arange(12) + 0.5) / 2 - 0.5, 0, 5)
linear = ("Resize 10, linear x 2", "Upsample 9, linear x 2")
seen = {
    "linear: before, asymmetric": all(np.allclose(found[name][0].ravel()[:11], np.arange(11) / 2) for name in linear),
    "linear: after, half a pixel": all(np.allclose(found[name][1].ravel(), half) for name in linear),
    "nearest twice as large is the same": same("Resize 10, nearest x 2"),
    "nearest by a third is not": not same("Resize 10, nearest x 1/3"),
    "Hardmax has more ones than before": found["Hardmax 11"][1].sum() > found["Hardmax 11"][0].sum() == 2,
    "Softmax and LogSoftmax are the same": same("Softmax 11") and same("LogSoftmax 11"),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
