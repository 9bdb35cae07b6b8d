#!/usr/bin/env bash
# With CACHE_DIR, OpenVINO runs the *old* network after its file was replaced.
#
# Version:  openvino 2026.4.1, CPU, compile_model(path, ...)
# Expected: The cached blob belongs to what the file holds.
# Seen:     For a path the key does not depend on what the files hold. Other weights of the same size under the old
#           modification time (rsync -t, tar, an image layer with fixed times; two writes within one second), or other
#           weights in the external data file beside an unchanged .onnx: both run the network compiled before, and
#           LOADED_FROM_CACHE says true.
# Costs:    A retrained model is rolled out, every file's hash is right, and the machine decides by the old one.
# Instead:  core.read_model(bytes) first and compile that: the key is then made of the network with its weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys
import time

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


def scaled(factor):
    return model(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        [("x", TensorProto.FLOAT, [1, 4])],
        [("y", TensorProto.FLOAT, [1, 4])],
        [("weights", np.eye(4, dtype=np.float32) * factor)],
    )


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def run(what):
    core = ov.Core()
    core.set_property({"CACHE_DIR": "cache"})
    compiled = core.compile_model(what() if callable(what) else what, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = float(compiled(np.ones((1, 4), np.float32))[0][0, 0])
    print(f"  factor {result}, from the cache: {compiled.get_property('LOADED_FROM_CACHE')}")
    return result


print("model.onnx with factor 1, then 5 with the old modification time, then 5 with a new one")
write("model.onnx", scaled(1))
old = os.stat("model.onnx")
first = run("model.onnx")
time.sleep(2.1)
write("model.onnx", scaled(5))
os.utime("model.onnx", ns=(old.st_atime_ns, old.st_mtime_ns))
restored = run("model.onnx")
os.utime("model.onnx")
renewed = run("model.onnx")

print("external.onnx with its weights in external.data: factor 1, then nine times that, two seconds later")
outside = onnx.load_from_string(scaled(1))
onnx.save(outside, "external.onnx", save_as_external_data=True, location="external.data", size_threshold=0)
before = run("external.onnx")
time.sleep(2.1)
(np.fromfile("external.data", np.float32) * 9).tofile("external.data")
after = run("external.onnx")

print("the same by bytes: factor 2, then 3")
by_bytes = [run(lambda f=factor: ov.Core().read_model(scaled(f))) for factor in (2, 3)]
seen = {
    "other weights under an old time: the old network runs": (first, restored) == (1, 1),
    "a new time is noticed": renewed == 5,
    "other external weights: the old network runs": (before, after) == (1, 1),
    "by bytes it is the right one": by_bytes == [2, 3],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
