#!/usr/bin/env bash
# ov.save_model writes a weight of a million as 65,504.
#
# Version:  openvino 2026.4.1
# Expected: Saving a float32 network and reading it again changes nothing, or warns that a value does not fit.
# Seen:     Weights are stored as float16 unless told otherwise. What float16 cannot hold becomes its largest number,
#           and what is smaller than its smallest becomes 0, as long as most of the tensor fits; a tensor most of which
#           does not fit stays float32. Not a word is said.
# Costs:    Precision matrices and inverse variances (1/variance of a quiet channel is easily 1e6) are cut off:
#           distances are wrong by orders of magnitude for just the channels that matter most, right for all others.
# Instead:  ov.save_model(model, path, compress_to_fp16=False), or keep the ONNX file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
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


def saved(weights, **options):
    data = model(
        [helper.make_node("Mul", ["x", "weights"], ["y"])],
        [("x", TensorProto.FLOAT, [1, weights.shape[1]])],
        [("y", TensorProto.FLOAT, [1, weights.shape[1]])],
        [("weights", weights)],
    )
    core = ov.Core()
    ov.save_model(core.read_model(data), "saved.xml", **options)
    compiled = ov.Core().compile_model("saved.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(np.ones_like(weights))[0])[0, :4]


few = np.ones((1, 1000), np.float32)
few[0, :4] = 1e6, -3e5, 1e-9, 70000
most = np.full((1, 1000), 1e6, np.float32)
plain, wide, all_large = saved(few), saved(few, compress_to_fp16=False), saved(most)
print("written", few[0, :4], "read", plain, "; compress_to_fp16=False", wide, "; all of a million", all_large)
seen = {
    "read back as +-65504 and 0": plain.tolist() == [65504, -65504, 0, 65504],
    "compress_to_fp16=False keeps them": np.array_equal(wide, few[0, :4]),
    "a tensor that does not fit stays float32": np.array_equal(all_large, most[0, :4]),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
