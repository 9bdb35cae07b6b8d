#!/usr/bin/env bash
# OpenVINO joins nothing with a convolution whose bias another convolution reads too: it costs speed, and says nothing.
#
# Version:  openvino 2026.4.1, CPU plugin, float32 and explicit Q/DQ, beside onnx 1.23.2
# Expected: Whether two convolutions read one constant or two equal ones changes the size of the file, not the layers
#           that run. A network run at several scales, or a siamese one, shares all of its weights, and
#           torch.onnx.export stores them once.
# Seen:     Shared weights cost nothing. A shared bias is not taken into the convolution, and neither is what follows
#           it: the activation, the rounding of Q/DQ. All of it runs as layers of its own (Subgraph in the runtime
#           model), and a convolution of int8 writes a map of float32 instead of uint8. With a copy of the bias for each
#           reader they are gone; the results are the same.
# Costs:    Two fifths of an int8 backbone's time, a tenth of a float32 one's (measured with EfficientNets at three
#           scales, shared and with copies: 365 and 223 ms, 27.3 and 24.2 ms), and nobody sees it: the graph looks like
#           any other.
# Instead:  Copy each bias for each of its readers in the exported graph, before it is compiled; look at layerType in
#           compiled_model.get_runtime_model().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from collections import Counter

import numpy as np
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

SHAPE = [1, 16, 12, 12]
core = ov.Core()
random = np.random.default_rng(0)
kernel = (0.1 * random.standard_normal((16, 16, 3, 3))).astype(np.float32)
bias = random.standard_normal(16).astype(np.float32)
rounded = np.clip(np.round(kernel * 256), -127, 127).astype(np.int8)
constants = {
    "w": kernel, "w2": kernel.copy(), "b": bias, "b2": bias.copy(),
    "wq": rounded, "ws": np.full(16, 1 / 256, np.float32), "wz": np.zeros(16, np.int8),
    "s": np.float32(1 / 32), "z": np.uint8(128),
}


def relu(name, bias, source):
    return [("Conv", f"{source} w {bias}", f"{name}c", {"pads": [1] * 4}), ("Relu", f"{name}c", name, {})]


def int8(name, bias, source):
    """Between Q/DQ pairs, as quantised networks are written; the last map stays float32."""
    quantised = [
        ("QuantizeLinear", f"{source} s z", f"{name}q", {}),
        ("DequantizeLinear", f"{name}q s z", f"{name}i", {}),
        ("DequantizeLinear", "wq ws wz", f"{name}w", {"axis": 0}),
    ]
    return [
        *quantised,
        ("Conv", f"{name}i {name}w {bias}", f"{name}c", {"pads": [1] * 4}),
        ("Relu", f"{name}c", name, {}),
    ]


def run(block, biases, weights=("w", "w")):
    """Kinds of layer of two blocks, one behind the other, what the first convolution writes, and the result."""
    nodes = block("m", biases[0], "x") + block("y", biases[1], "m")
    nodes = [(kind, i.replace(" w ", f" {weights[o[0] == 'y']} "), o, more) for kind, i, o, more in nodes]
    made = [helper.make_node(kind, inputs.split(), [output], **more) for kind, inputs, output, more in nodes]
    used = {name for node in made for name in node.input}
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = [info["layerType"].astype(str) for info in told]
    written = told[kinds.index("Convolution")]["outputPrecisions"].astype(str)
    return Counter(kinds), written, np.array(compiled([x])[0])


x = random.standard_normal(SHAPE).astype(np.float32)
seen = {}
for name, block in (("Conv, Relu", relu), ("Q/DQ, Conv, Relu", int8)):
    (shared, wide, one), (own, narrow, other) = run(block, ("b", "b")), run(block, ("b", "b2"))
    for text, kinds, written in (("shared bias", shared, wide), ("a bias each", own, narrow)):
        print(f"{name}, {text}: {dict(sorted(kinds.items()))}, the first convolution writes {written}")
    behind = [kinds["Subgraph"] + kinds["Eltwise"] for kinds in (shared, own)]
    seen[f"{name}: layers behind each convolution only where the bias is shared"] = (
        shared["Convolution"] == own["Convolution"] == 2 and behind[0] == behind[1] + 2
    )
    seen[f"{name}: the results are the same"] = bool(np.allclose(one, other, atol=1e-4))
seen["int8: with a shared bias the convolution writes float32"] = wide == "f32" and narrow in ("u8", "i8")
apart, *_ = run(relu, ("b", "b"), ("w", "w2"))
joined, *_ = run(relu, ("b", "b2"), ("w", "w"))
seen["weights of their own do not help, and shared ones cost nothing"] = (
    apart["Subgraph"] + apart["Eltwise"] >= 2 and not {"Subgraph", "Eltwise"} & joined.keys()
)

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
