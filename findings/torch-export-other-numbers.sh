#!/usr/bin/env bash
# torch.onnx.export makes graphs of logsigmoid and of avg_pool2d with a divisor that compute something else.
#
# Version:  torch 2.15.0, torch.onnx.export (dynamo) with onnxscript 0.7.2, onnx 1.23.2, run by onnxruntime 1.31.1,
#           opset 20
# Expected: What exports without a warning computes what the module computes, to float32's rounding.
# Seen:     logsigmoid becomes Log(Sigmoid(x)): -50 and -200 are -inf in the graph, and above 17 the result is 0 instead
#           of -exp(-x). Its mathematical twin -softplus(-x) is right. avg_pool2d's divisor_override is dropped: the
#           graph divides by the window's size. Neither export warns.
# Costs:    A log-likelihood in the graph is -inf for what is very strange, and -inf less -inf NaN, while tests on good
#           parts agree to the last digit. Sums written as avg_pool2d(divisor_override=1) are averages.
# Instead:  -softplus(-x); avg_pool2d times the window's size over the divisor.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    torch==2.15.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
import onnxruntime as ort
import torch
from torch.nn import functional

warnings.filterwarnings("ignore")


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def both(function, x):
    """What torch computes, and what the exported graph computes."""
    program = torch.onnx.export(Module(function).eval(), (x,), dynamo=True, opset_version=20, verbose=False)
    session = ort.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return function(x).numpy(), session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


steps = torch.tensor([-200.0, -50.0, -1.0, 1.0, 20.0])
ones = torch.ones(1, 1, 4, 4)
found = {
    "logsigmoid": both(functional.logsigmoid, steps),
    "-softplus(-x)": both(lambda x: -functional.softplus(-x), steps),
    "avg_pool2d, divisor 1": both(lambda x: functional.avg_pool2d(x, 2, divisor_override=1), ones),
    "avg_pool2d times 4": both(lambda x: 4 * functional.avg_pool2d(x, 2), ones),
}
for name, (torch_, graph) in found.items():
    print(f"{name}: torch {torch_.ravel()[:5].tolist()}, graph {graph.ravel()[:5].tolist()}")
logsigmoid, pool = found["logsigmoid"], found["avg_pool2d, divisor 1"]
seen = {
    "logsigmoid: -inf in the graph, -200 in torch": logsigmoid[0][0] == -200 and np.isneginf(logsigmoid[1][0]),
    "logsigmoid of 20: 0 in the graph, -2e-9 in torch": logsigmoid[1][4] == 0 and -3e-9 < logsigmoid[0][4] < -1e-9,
    "softplus is right": np.allclose(*found["-softplus(-x)"], rtol=1e-5, atol=0),
    "the divisor is dropped": (pool[0] == 4).all() and (pool[1] == 1).all(),
    "without it the pool is right": np.allclose(*found["avg_pool2d times 4"]),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
