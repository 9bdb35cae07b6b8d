#!/usr/bin/env bash
# ONNX Runtime's quantisation drops the lower bound of a Clip, and what was kept away from 0 becomes 0.
#
# Version:  onnxruntime 1.31.1, quantize_static with MinMax calibration, onnx 1.23.2, sympy 1.14.0; run with
#           optimisations off and on
# Expected: Quantised, max(x, 0.1) is 0.1 or more, to half a step of the integers. A Clip is left out only where the
#           integers' own ends do the same.
# Seen:     Behind a convolution a Clip (and a Relu) is left out of the quantised graph as soon as activations are not
#           symmetric, which is the default, in QDQ and in QOperator alike. The integers' range always reaches down to
#           0, so a lower bound above 0 is lost: log(max(x, 0.1)) is -inf for every part of the map below 0, 1 / max(x,
#           0.1) infinite, Clip(1, 6) gives 0. Bounds of 0 and below are right, and so are all with
#           ActivationSymmetric.
# Costs:    A floor under a variance, a distance or a logarithm is there for the quiet parts of the picture: after
#           quantisation they have infinite scores or NaN, the busy ones are right.
# Instead:  Exclude the Clip by name (nodes_to_exclude), or write the floor as Max; in QDQ also
#           extra_options={"QDQKeepRemovableActivations": True}.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 sympy==1.14.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)
SHAPE = [1, 8, 16, 16]
random = np.random.default_rng(0)
pictures = [random.standard_normal(SHAPE).astype(np.float32) for _ in range(8)]
constants = {
    "w": (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32),
    "b": np.zeros(8, np.float32), "tenth": np.float32(0.1), "one": np.float32(1), "six": np.float32(6),
    "minus": np.float32(-1), "zero": np.float32(0),
}


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = iter(pictures)

    def get_next(self):
        picture = next(self.left, None)
        return None if picture is None else {"x": picture}


def model(nodes):
    made = [("Conv", "x w b", "c"), *nodes]
    made = [helper.make_node(kind, inputs.split(), [output], name=output) for kind, inputs, output in made]
    made[0].attribute.append(helper.make_attribute("pads", [1] * 4))
    used = {name for node in made for name in node.input}
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(made, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": picture})[0].ravel() for picture in pictures])


LEVELS = ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
SYMMETRIC = {"extra_options": {"ActivationSymmetric": True}, "activation_type": QuantType.QInt8}


def quantised(nodes, form, **more):
    """The float result, the quantised ones with optimisations off and on, and whether a Clip or Max is left."""
    onnx.save(model(nodes), "float.onnx")
    quantize_static("float.onnx", "quantised.onnx", Pictures(), quant_format=form, **more)
    kinds = {node.op_type for node in onnx.load("quantised.onnx").graph.node}
    return run("float.onnx", LEVELS[0]), [run("quantised.onnx", level) for level in LEVELS], kinds


CLIP = [("Clip", "c tenth", "p")]
bounds = {"1 to 6": "c one six", "0 to 6": "c zero six", "-1 to 6": "c minus six"}
seen = {}
for form in (QuantFormat.QDQ, QuantFormat.QOperator):
    name = form.name
    log, logs, kinds = quantised([*CLIP, ("Log", "p", "y")], form)
    _, inverse, _ = quantised([*CLIP, ("Reciprocal", "p", "y")], form)
    share = float(np.isinf(logs[0]).mean())
    print(f"{name}: log(max(x, 0.1)) is {log.min():.2f} and more; quantised {logs[0].min()} and more, {share:.0%} -inf")
    seen[f"{name}: no Clip is left, and log is -inf where it was log(0.1)"] = "Clip" not in kinds and all(
        np.isneginf(one[log == log.min()]).mean() > 0.9 for one in logs
    )
    seen[f"{name}: 1 / max(x, 0.1) is infinite"] = all(np.isposinf(one).any() for one in inverse)
    for text, inputs in bounds.items():
        plain, others, _ = quantised([("Clip", inputs, "y")], form)
        print(f"{name}: Clip {text} gives {plain.min():.2f}, quantised {others[0].min():.2f} and {others[1].min():.2f}")
        lost = all(one.min() == 0 and np.abs(one - plain).max() > 0.9 for one in others)
        close = all(np.abs(one - plain).max() < 0.2 for one in others)
        seen[f"{name}: Clip {text} is {'lost' if text[0] == '1' else 'right'}"] = lost if text[0] == "1" else close
    plain, others, kinds = quantised([("Clip", bounds["1 to 6"], "y")], form, **SYMMETRIC)
    seen[f"{name}: right with symmetric activations"] = all(np.abs(one - plain).max() < 0.2 for one in others)
    plain, others, kinds = quantised([("Clip", bounds["1 to 6"], "y")], form, nodes_to_exclude=["y"])
    seen[f"{name}: right with the Clip excluded"] = all(np.abs(one - plain).max() < 0.2 for one in others)
    if form is QuantFormat.QDQ:
        kept = {"extra_options": {"QDQKeepRemovableActivations": True}}
        plain, others, kinds = quantised([("Clip", bounds["1 to 6"], "y")], form, **kept)
        seen[f"{name}: right with the activations kept"] = all(np.abs(one - plain).max() < 0.2 for one in others)
    plain, others, kinds = quantised([("Max", "c one", "y")], form)
    seen[f"{name}: right with Max"] = all(np.abs(one - plain).max() < 0.2 for one in others)

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
