#!/usr/bin/env bash
# NNCF corrects a bias that two convolutions share for the second of them, and spoils the first.
#
# Version:  NNCF 3.4.0, nncf.quantize of an ONNX model, with fast and with full bias correction, onnx 1.23.2, run by
#           onnxruntime 1.31.1; the same model read by OpenVINO 2026.4.1 first is right
# Expected: Bias correction makes a quantised network better or leaves it: it moves each bias by the mean error of its
#           own layer. Where two layers share one, it is copied first, or left alone.
# Seen:     The correction of the second is written into the shared constant, which the first reads too. Beside an
#           input ten times as large the first map's error is nine times that with a copy of the bias, and each of its
#           channels is shifted by what belongs to the second. The second is the same in both. No warning.
# Costs:    A network that runs at two scales, or on two cameras, is exported with shared constants. The worse half
#           is taken for what quantising costs, and the cure that is tried, more pictures, changes nothing.
# Instead:  Copy each shared bias in the graph before quantising; or quantise as OpenVINO's model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 nncf==3.4.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import nncf
import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

nncf.set_log_level(logging.ERROR)
SHAPE = [1, 8, 16, 16]
random = np.random.default_rng(0)
pictures = [np.abs(random.standard_normal(SHAPE)).astype(np.float32) for _ in range(32)]
bias = 2 * random.standard_normal(8).astype(np.float32)
constants = {
    "w": (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32), "b": bias, "b2": bias.copy(),
    "ten": np.float32(10),
}


def model(second):
    """Two convolutions of the same weights, the second over ten times the input."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], name="c", pads=[1] * 4),
        node("Relu", ["c"], ["first"], name="first"),
        node("Mul", ["x", "ten"], ["x2"], name="x2"),
        node("Conv", ["x2", "w", second], ["c2"], name="c2", pads=[1] * 4),
        node("Relu", ["c2"], ["second"], name="second"),
    ]
    used = {name for made in nodes for name in made.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("first", "second")],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(made):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.stack(maps) for maps in zip(*(session.run(None, {"x": picture}) for picture in pictures), strict=True)]


def run_openvino(made):
    compiled = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = [compiled(picture) for picture in pictures]
    return [np.stack([np.array(result[number]) for result in results]) for number in (0, 1)]


right = run(model("b"))


def errors(got):
    """By map: the error in deviations of the map, and the largest mean shift of a channel."""
    return [
        (float(np.sqrt(((one - two) ** 2).mean()) / two.std()), float(np.abs((one - two).mean((0, 1, 3, 4))).max()))
        for one, two in zip(got, right, strict=True)
    ]


rows = {}
for fast in (True, False):
    for text, second in (("shared", "b"), ("copies", "b2")):
        fed = nncf.Dataset(pictures, lambda picture: {"x": picture})
        made = nncf.quantize(model(second), fed, subset_size=32, fast_bias_correction=fast)
        rows[fast, text] = errors(run(made))
made = nncf.quantize(ov.Core().read_model(model("b").SerializeToString()), nncf.Dataset(pictures), subset_size=32)
through = errors(run_openvino(made))
for (fast, text), ((first, shift), (second, _)) in rows.items():
    name = "fast" if fast else "full"
    print(f"{name}, {text}: errors {first:.4f} and {second:.4f}, first shifted by up to {shift:.3f}")
print(f"as OpenVINO's model, shared: errors {through[0][0]:.4f} and {through[1][0]:.4f}")
seen = {}
for fast in (True, False):
    name, (shared, copies) = "fast" if fast else "full", (rows[fast, "shared"], rows[fast, "copies"])
    seen[f"{name}: the first map's error is four times that with copies, or more"] = shared[0][0] > 4 * copies[0][0]
    seen[f"{name}: its channels are shifted ten times as far, or more"] = shared[0][1] > 10 * copies[0][1]
    seen[f"{name}: the second map is the same"] = bool(np.allclose(shared[1], copies[1], rtol=0.05))
seen["as OpenVINO's model the first map is right"] = through[0][0] < 2 * rows[True, "copies"][0][0]

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
