#!/usr/bin/env bash
# onnxoptimizer merges a Pad into a pool that then leaves the zeros out, and two Reshapes whose 0 means another axis.
#
# Version:  onnxoptimizer 0.4.2, optimize() with the passes it takes by itself, onnx 1.23.2, run by onnxruntime 1.31.1
#           with its own optimisations off; onnxsim 0.8.1 gets all of these right
# Expected: The optimised graph computes the same.
# Seen:     Pad with zeros and AveragePool become one AveragePool with pads and count_include_pad=1: right, but where
#           the pool had pads of its own with count_include_pad=0 these are counted in as well, and border values are up
#           to a third too small. Pad with zeros and MaxPool become a MaxPool with pads, which are minus infinity: what
#           was never below 0 at the border is. Of Reshape to (98, 4, 16) and then to (0, -1), which is (98, 64), one
#           Reshape to (0, -1) is left, whose 0 is now the first axis of the picture: (2, 3136). No word is said.
# Costs:    A backbone's border is another one, and maps glow or fade along the edges of the picture. The heads of a
#           windowed transformer are mixed over the windows of a picture; what follows may well take either shape.
# Instead:  optimize(model, passes) without fuse_pad_into_pool and eliminate_consecutive_idempotent_ops (below); or
#           onnxsim. Compare outputs before and after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 onnxoptimizer==0.4.2 onnxsim==0.8.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxoptimizer
import onnxruntime as ort
import onnxsim
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
PAD = node("Pad", ["x", "edges"], ["a"])
POOL = {"kernel_shape": [3, 3]}
constants = {
    "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "heads": np.array([98, 4, 16]), "rows": np.array([0, -1]),
}
graphs = {
    "Pad, AveragePool": ([PAD, node("AveragePool", ["a"], ["y"], **POOL)], [2, 4, 8, 8]),
    "Pad, AveragePool with pads": (
        [PAD, node("AveragePool", ["a"], ["y"], pads=[1] * 4, count_include_pad=0, **POOL)],
        [2, 4, 8, 8],
    ),
    "Pad, MaxPool": ([PAD, node("MaxPool", ["a"], ["y"], **POOL)], [2, 4, 8, 8]),
    "two Reshapes": (
        [node("Reshape", ["x", "heads"], ["a"]), node("Reshape", ["a", "rows"], ["y"])], [2, 49, 64],
    ),
}


def model(nodes, shape):
    read = {name for made in nodes for name in made.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in read],
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    )


def run(made, picture):
    onnx.checker.check_model(made)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": picture})[0]


skipped = ("fuse_pad_into_pool", "eliminate_consecutive_idempotent_ops")
chosen = [name for name in onnxoptimizer.get_fuse_and_elimination_passes() if name not in skipped]
tools = {
    "optimize": onnxoptimizer.optimize,
    "without two passes": lambda made: onnxoptimizer.optimize(made, chosen),
    "onnxsim": lambda made: onnxsim.simplify(made)[0],
}
random = np.random.default_rng(0)
seen = {}
for name, (nodes, shape) in graphs.items():
    picture = random.standard_normal(shape).astype(np.float32)
    if name == "Pad, AveragePool with pads":
        picture = np.ones(shape, np.float32)
    elif name == "Pad, MaxPool":
        picture = picture - np.float32(1)
    right = run(model(nodes, shape), picture)
    same = {}
    for tool, optimise in tools.items():
        made = optimise(model(nodes, shape))
        got = run(made, picture)
        same[tool] = got.shape == right.shape and np.allclose(got, right, atol=1e-5)
        kinds = ", ".join(left.op_type for left in made.graph.node)
        print(f"{name}, {tool}: {kinds}: {'the same' if same[tool] else 'another result'}")
        if tool == "optimize" and name == "Pad, AveragePool with pads":
            factor = float((got[0, 0] / right[0, 0])[:, 1].min())
            print(f"    {right[0, 0, 1, :3].round(3).tolist()} became {got[0, 0, 1, :3].round(3).tolist()}")
        if tool == "optimize" and name == "two Reshapes":
            print(f"    {right.shape} became {got.shape}")
            seen["98 rows become 2"] = right.shape == (98, 64) and got.shape == (2, 3136)
        if tool == "optimize" and name == "Pad, MaxPool":
            seen["the border of a MaxPool was never negative, and is"] = right[:, :, 0].min() == 0 > got[:, :, 0].min()
    seen[f"{name}: {'the same' if name == 'Pad, AveragePool' else 'another result'}"] = same.pop("optimize") == (
        name == "Pad, AveragePool"
    )
    seen[f"{name}: the same without the two passes, and from onnxsim"] = all(same.values())
seen["a border's average is a third too small"] = 0.6 < factor < 0.7

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
