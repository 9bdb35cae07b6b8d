#!/usr/bin/env bash
# MNN pads SAME_LOWER as SAME_UPPER, and an enlarged map's first row and column are wrong.
#
# Version:  MNN 3.6.1, its ONNX converter and CPU backend, opset 18, beside onnxruntime 1.31.1 and onnx 1.23.2
# Expected: The converted network computes what the model says, or the converter refuses.
# Seen:     auto_pad=SAME_LOWER of Conv, MaxPool, AveragePool and ConvTranspose puts the odd row and column at the end,
#           as SAME_UPPER does: with stride 2 on 8 pixels the picture is moved by one. Resize cubic of half_pixel to
#           twice the size weighs wrongly what lies before the picture's first pixel: of 0, 1, 2, ... the first value is
#           0.67 instead of -0.11; the first row and column are wrong and the rest is right. antialias of Resize is
#           ignored. GridSample bicubic is bilinear. PRelu with a slope for each column takes the first of them for
#           channels. SAME_UPPER, and cubic with align_corners or asymmetric, are right. Nothing is said.
# Costs:    A backbone with SAME_LOWER sees its picture moved by a pixel at every stride; the upper and left edge of an
#           anomaly map glows.
# Instead:  State pads; enlarge linearly; compare outputs with ONNX Runtime's, with an input of odd and of even size.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 MNN==3.6.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import contextlib
import os
import sys
from pathlib import Path

import _tools
import MNN
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
node = helper.make_node


def model(nodes, shape, constants, opset=18):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


@contextlib.contextmanager
def quiet():
    """The converter prints from C++."""
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(null, 1)
    yield
    os.dup2(kept, 1)


def run_mnn(made, values):
    onnx.save(made, "model.onnx")
    Path("model.mnn").unlink(missing_ok=True)
    with quiet():  # called so, and not as the command, the converter installs nothing
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"])
        network = MNN.nn.load_module_from_file("model.mnn", ["x"], ["y"])
        fed = MNN.expr.placeholder(list(values.shape), MNN.expr.NCHW)
        fed.write(values)
        result = network.forward([fed])
        result = result[0] if isinstance(result, list | tuple) else result
        result = MNN.expr.convert(result, MNN.expr.NCHW) if result.data_format != MNN.expr.NCHW else result
        return np.array(result.read(), np.float32).reshape(result.shape)


def run_onnxruntime(made, values):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values})[0]


WEIGHTS = {
    "w": random.standard_normal((6, 4, 3, 3)).astype(np.float32),
    "wt": random.standard_normal((4, 6, 3, 3)).astype(np.float32),
}
EVEN = random.standard_normal((1, 4, 8, 8)).astype(np.float32)
ROWS = np.tile(np.arange(6, dtype=np.float32), (1, 1, 6, 1))
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
seen = {}


def both(made, values):
    return run_onnxruntime(made, values), run_mnn(made, values)


def same(first, second):
    return first.shape == second.shape and np.allclose(first, second, atol=1e-3)


def padded(kind, side):
    sources, options = {
        "Conv": (["x", "w"], {"strides": [2, 2]}), "ConvTranspose": (["x", "wt"], {"strides": [2, 2]}),
    }.get(kind, (["x"], POOL))
    made = [node(kind, sources, ["y"], auto_pad=side, **options)]
    return model(made, EVEN.shape, {name: WEIGHTS[name] for name in sources[1:]})


for kind in ("Conv", "MaxPool", "AveragePool", "ConvTranspose"):
    right, got = both(padded(kind, "SAME_LOWER"), EVEN)
    upper, also = both(padded(kind, "SAME_UPPER"), EVEN)
    off, moved = (np.abs(one - got).max() for one in (right, upper))
    print(f"{kind}, SAME_LOWER: off by {off:.2f}, from SAME_UPPER by {moved:.4f}")
    seen[f"{kind}: SAME_LOWER is SAME_UPPER"] = same(upper, got) and not same(right, got)
    seen[f"{kind}: SAME_UPPER is right"] = same(upper, also)


def resized(scale, **options):
    scales = np.array([1, 1, scale, scale], np.float32)
    return model([node("Resize", ["x", "", "scales"], ["y"], **options)], ROWS.shape, {"scales": scales})


right, got = both(resized(2, mode="cubic"), ROWS)
print("cubic, the first of the last row but one:", right[0, 0, -2, :4].round(2), "in MNN", got[0, 0, -2, :4].round(2))
seen["cubic: the first value is 0.67 instead of -0.11"] = abs(got[0, 0, -2, 0] - 0.67) < 0.01 > abs(
    right[0, 0, -2, 0] + 0.11
)
seen["cubic: behind the first column and row all is right"] = same(right[..., 1:, 1:], got[..., 1:, 1:])
for way in ("align_corners", "asymmetric"):
    seen[f"cubic: {way} is right"] = same(*both(resized(2, mode="cubic", coordinate_transformation_mode=way), ROWS))
picture = np.tile(EVEN[:, :1, :6, :6], 1)
right, got = both(resized(0.5, mode="linear", antialias=1), picture)
plain = run_onnxruntime(resized(0.5, mode="linear"), picture)
seen["antialias is ignored"] = same(plain, got) and not same(right, got)
grid = {"grid": random.uniform(-0.6, 0.6, (1, 5, 5, 2)).astype(np.float32)}
sampled = {
    mode: model([node("GridSample", ["x", "grid"], ["y"], mode=mode)], EVEN.shape, grid, opset=16)
    for mode in ("bicubic", "bilinear")
}
right, got = both(sampled["bicubic"], EVEN)
seen["GridSample: bicubic is bilinear"] = same(run_onnxruntime(sampled["bilinear"], EVEN), got) and not same(right, got)
slopes = np.arange(1, 9, dtype=np.float32)
right, got = both(model([node("PRelu", ["x", "slopes"], ["y"])], EVEN.shape, {"slopes": slopes}), EVEN)
by_channel = np.where(EVEN < 0, EVEN * slopes[:4].reshape(1, 4, 1, 1), EVEN)
seen["PRelu: slopes of columns are taken for channels"] = same(by_channel, got) and not same(right, got)

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
