#!/usr/bin/env bash
# OpenVINO takes a 12-bit picture for a uint8 input and keeps the low byte of each pixel.
#
# Version:  openvino 2026.4.1, Python API (a compiled model called, infer, start_async of a queue), beside onnxruntime
#           1.31.1
# Expected: An array of another type than the model's input is refused, as its shape would be, and as ONNX Runtime does
#           (INVALID_ARGUMENT, unexpected input data type); or it is clipped to the range, with a word.
# Seen:     It is converted as NumPy's astype does, silently: a uint16 picture's 256 is 0, 300 is 44, 4095 is 255. A
#           float picture of 0 to 1 becomes black, with a 1 where it is exactly 1, and int64's -1 is 255. ov.Tensor and
#           set_input_tensor are checked, and refuse; so is the shape.
# Costs:    A camera set to Mono12, or a preprocessing that scales once too often, gives scores instead of an error: the
#           picture of the low byte is full of edges, the black one is empty, and the latter may well pass as good.
# Instead:  Compare array.dtype with model.input(0).element_type.to_dtype() before each call, or pass ov.Tensor.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper

warnings.simplefilter("error")
core = ov.Core()


def model(kind, pixels):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "graph",
        [helper.make_tensor_value_info("x", kind, [1, pixels])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, pixels])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def refuses(call):
    try:
        call()
    except Exception as error:
        print(f"    refused: {type(error).__name__}")
        return True
    return False


pictures = {
    "uint16": np.array([[0, 255, 256, 300, 4095]], np.uint16),
    "float32": np.array([[0, 0.25, 0.5, 0.999, 1]], np.float32),
    "int64": np.array([[0, -1, 256, 300, 4095]]),
}
wanted = {"uint16": [0, 255, 0, 44, 255], "float32": [0, 0, 0, 0, 1], "int64": [0, 255, 0, 44, 255]}
made = model(TensorProto.UINT8, 5)
compiled = core.compile_model(core.read_model(made), "CPU")
request = compiled.create_infer_request()
session = ort.InferenceSession(made, providers=["CPUExecutionProvider"])
queued = []
queue = ov.AsyncInferQueue(compiled, 1)
queue.set_callback(lambda done, _: queued.append(done.get_output_tensor().data.copy()))
seen = {}
for name, picture in pictures.items():
    results = [np.array(compiled(picture)[0]), np.array(request.infer([picture])[compiled.output(0)])]
    queue.start_async({0: picture})
    queue.wait_all()
    results.append(queued[-1])
    print(f"{name} {picture[0].tolist()} -> {results[0][0].astype(int).tolist()}")
    seen[f"{name} is narrowed to uint8 as by astype, without a warning"] = all(
        one[0].tolist() == wanted[name] for one in results
    )
    seen[f"{name}: ONNX Runtime refuses it"] = refuses(lambda fed=picture: session.run(None, {"x": fed}))
    seen[f"{name}: as ov.Tensor it is refused"] = refuses(
        lambda fed=picture: request.set_input_tensor(ov.Tensor(fed)) or request.infer()
    )
seen["another shape is refused"] = refuses(lambda: compiled(np.zeros((1, 4), np.uint8)))

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
