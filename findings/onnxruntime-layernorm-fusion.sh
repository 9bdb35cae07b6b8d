#!/usr/bin/env bash
# ONNX Runtime takes any power in a normalisation for the square, and drops a floor of variance for each channel.
#
# Version:  onnxruntime 1.31.1, CPU, as it comes, beside onnx 1.23.2's reference evaluator and openvino 2026.4.1
# Expected: (x - mean) / (mean((x - mean) ** p) + e) ** 0.5 with p = 4 is computed with 4, and a floor e of its own for
#           every row is added to that row.
# Seen:     LayerNormFusion looks for the nodes and not at the exponent: with 1, 3 and 4 the result is that of 2. Of a
#           constant e of several values (one for each channel) nothing is left: 1e-5 is added everywhere. It runs at
#           the lowest level of optimisation, without a word. Optimisations off, the reference evaluator and OpenVINO
#           are right. SimplifiedLayerNormFusion (without the mean) looks at the exponent, and drops the floors as well.
# Costs:    A normalisation with a floor of variance for every channel, as one measures it on good parts, has none on
#           the device: a quiet channel's noise is blown up to 1. Where e is one number and p is 2, all tests agree.
# Instead:  Write the square as Mul(d, d), which is not fused, or disabled_optimizers=["LayerNormFusionL1",
#           "LayerNormFusionL2", "SimplifiedLayerNormFusion"]; compare a session with ORT_DISABLE_ALL once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

CHANNELS, LENGTH = 4, 6
FUSIONS = ["LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion"]


def model(power, floors, multiplied=False):
    """A normalisation of each of four rows, written out in single nodes."""
    square = helper.make_node("Mul", ["d", "d"], ["q"]) if multiplied else helper.make_node("Pow", ["d", "p"], ["q"])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[-1]),
        helper.make_node("Sub", ["x", "m"], ["d"]),
        square,
        helper.make_node("ReduceMean", ["q"], ["v"], axes=[-1]),
        helper.make_node("Add", ["v", "e"], ["ve"]),
        helper.make_node("Sqrt", ["ve"], ["s"]),
        helper.make_node("Div", ["d", "s"], ["n"]),
        helper.make_node("Mul", ["n", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
    ]
    constants = {
        **({} if multiplied else {"p": np.array(power, np.float32)}),
        "e": np.array(floors, np.float32),
        "scale": np.ones(LENGTH, np.float32),
        "bias": np.zeros(LENGTH, np.float32),
    }
    shape = [1, CHANNELS, LENGTH]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def onnxruntime_(made, x, level=ort.GraphOptimizationLevel.ORT_ENABLE_ALL, **more):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"], **more)
    return session.run(None, {"x": x})[0]


def openvino_(made, x):
    core = ov.Core()
    return np.array(core.compile_model(core.read_model(made.SerializeToString()), "CPU")([x])[0])


def close(got, right):
    return bool(np.allclose(got, right, rtol=1e-4, atol=1e-5))


x = np.random.default_rng(0).normal(size=(1, CHANNELS, LENGTH)).astype(np.float32)
floors = np.array([[0.1], [1], [2], [3]])
difference = x.astype(float) - x.astype(float).mean(axis=-1, keepdims=True)


def by_hand(power, floor):
    return difference / np.sqrt((difference**power).mean(axis=-1, keepdims=True) + floor)


cases = {"power 2": (2, 1e-5), "power 4": (4, 1e-5), "floors": (2, floors)}
taken = {"power 2": (2, 1e-5), "power 4": (2, 1e-5), "floors": (2, 1e-5)}
seen = {}
levels = ort.GraphOptimizationLevel
for name, (power, floor) in cases.items():
    made, right, other = model(power, floor), by_hand(power, floor), by_hand(*taken[name])
    rows = {
        "reference": ReferenceEvaluator(made).run(None, {"x": x})[0],
        "OpenVINO": openvino_(made, x),
        "ONNX Runtime, optimisations off": onnxruntime_(made, x, levels.ORT_DISABLE_ALL),
        "ONNX Runtime without the fusion": onnxruntime_(made, x, disabled_optimizers=FUSIONS),
        "ONNX Runtime, basic": onnxruntime_(made, x, levels.ORT_ENABLE_BASIC),
        "ONNX Runtime, as it comes": onnxruntime_(made, x),
    }
    for which, result in rows.items():
        print(f"{name}, {which}: last row {result[0, -1, :3].round(3)}")
    *good, basic, usual = rows.values()
    seen[f"{name}: four ways to run it are right"] = all(close(result, right) for result in good)
    if name == "power 2":
        seen[f"{name}: so is ONNX Runtime as it comes"] = close(usual, right)
    else:
        seen[f"{name}: as it comes, it is another"] = not close(usual, right) and not close(basic, right)
        seen[f"{name}: the square, and 1e-5"] = close(usual, other) and close(basic, other)
seen["powers 1 and 3 are the square too"] = all(
    close(onnxruntime_(model(power, 1e-5), x), by_hand(2, 1e-5)) for power in (1, 3)
)
only = onnxruntime_(model(2, floors), x, disabled_optimizers=FUSIONS[:2])
seen["SimplifiedLayerNormFusion drops the floors, too"] = close(only, by_hand(2, 1e-5))
only = onnxruntime_(model(4, 1e-5), x, disabled_optimizers=FUSIONS[:2])
seen["and keeps the power"] = close(only, by_hand(4, 1e-5))
seen["Mul instead of Pow is right"] = close(onnxruntime_(model(2, floors, multiplied=True), x), by_hand(2, floors))
seen["one floor is kept"] = close(onnxruntime_(model(2, 3), x), by_hand(2, 3))

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
