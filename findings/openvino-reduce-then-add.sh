#!/usr/bin/env bash
# OpenVINO adds to all rows of picture b what belongs to row b, where a number for each row follows a reduction.
#
# Version:  openvino 2026.4.1, CPU plugin (x86-64), float32, beside onnx 1.23.2's reference evaluator and onnxruntime
#           1.31.1
# Expected: mean(x, axis=-1) + c, for x of pictures x rows x columns and c of one number for each row: row r of every
#           picture gets c[r], whatever the batch.
# Seen:     From a batch of 2 on, all rows of picture b get c[b]. A batch of 1 is right. So it is for ReduceMean,
#           ReduceSum, ReduceMax and ReduceL2 with Add and with Mul, where the reduced axis is dropped, and in an RMS
#           normalisation with a floor for each row. Tensors with four dimensions are right, and so is the constant
#           behind a Softmax or MatMul. Nothing is reported.
# Costs:    Scores from rows of features (a mean for each region less its own limit, a normalisation with a floor for
#           each channel) are right for one picture, as in all tests, and wrong as soon as two cameras or a queue put
#           two pictures into one batch.
# Instead:  A fourth dimension before the reduction (x[:, :, None, :]); compare a batch of 2 with two of 1.
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

ROWS, COLUMNS = 4, 6
core = ov.Core()


def model(nodes, shape, constants):
    graph = helper.make_graph(
        [helper.make_node(kind, inputs.split(), [output], **more) for kind, inputs, output, more in nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def three(made, x):
    """The results of the reference evaluator, ONNX Runtime and OpenVINO."""
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return ReferenceEvaluator(made).run(None, {"x": x})[0], session.run(None, {"x": x})[0], np.array(compiled([x])[0])


def close(one, other):
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-5))


random = np.random.default_rng(0)
each = 10 * np.arange(1, ROWS + 1, dtype=np.float32)
axis, column = np.array([-1]), each.reshape(ROWS, 1)
last = {"axis": axis, "c": column}


def rows(kind, operation, **more):
    return [(kind, "x axis", "r", more), (operation, "r c", "y", {})]


cases = {
    f"{kind}, {operation}": (rows(kind, operation), last)
    for kind in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")
    for operation in ("Add", "Mul")
}
cases["axis dropped"] = rows("ReduceMean", "Add", keepdims=0), {"axis": axis, "c": each}
cases["RMS with floors"] = [
    ("Mul", "x x", "q", {}),
    ("ReduceMean", "q axis", "v", {}),
    ("Add", "v c", "f", {}),
    ("Sqrt", "f", "s", {}),
    ("Div", "x s", "y", {}),
], last
right = {
    "Softmax": ([("Softmax", "x", "r", {}), ("Mul", "r c", "y", {})], {"c": column}),
    "MatMul": ([("MatMul", "x w", "r", {}), ("Add", "r c", "y", {})],
               {"w": np.ones((COLUMNS, 1), np.float32), "c": column}),
}
zeros = np.zeros((3, ROWS, COLUMNS), np.float32)
shown = three(model(*cases["ReduceMean, Add"][:1], [3, ROWS, COLUMNS], last), zeros)
for name, result in zip(("reference", "ONNX Runtime", "OpenVINO"), shown, strict=True):
    print(f"{name}: three pictures of zeros, mean + (10, 20, 30, 40): {result[..., 0].tolist()}")


def verdicts(nodes, constants, shape):
    """Whether the two others agree, and whether OpenVINO agrees with them."""
    x = random.normal(size=shape).astype(np.float32)
    reference, runtime, plugin = three(model(nodes, shape, constants), x)
    return close(reference, runtime), close(reference, plugin)


found = {
    (name, batch): verdicts(nodes, constants, [batch, ROWS, COLUMNS])
    for name, (nodes, constants) in {**cases, **right}.items()
    for batch in (1, 2, 3)
}
four = verdicts(cases["ReduceMean, Add"][0], {"axis": axis, "c": column[:, None]}, [2, ROWS, 1, COLUMNS])
wrong = sorted(key for key, (_, agrees) in found.items() if not agrees)
print("OpenVINO is wrong for:", ", ".join(f"{name} (batch {batch})" for name, batch in wrong))
seen = {
    "the two others agree everywhere": all(agree for agree, _ in (*found.values(), four)),
    "OpenVINO: picture b gets number b": [row[0, 0] for row in shown[2][1:]] == [20, 30]
    and all(np.ptp(picture) == 0 for picture in shown[2]),
    "a batch of 1 is right": all(found[name, 1][1] for name in cases),
    "all reductions are wrong from 2 on": not any(found[name, batch][1] for name in cases for batch in (2, 3)),
    "Softmax and MatMul are right": all(found[name, batch][1] for name in right for batch in (1, 2, 3)),
    "four dimensions are right": four[1],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
