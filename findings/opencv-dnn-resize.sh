#!/usr/bin/env bash
# OpenCV's network module takes a Resize by 1.7 for one by 1.6667, and resizes without antialias where it is asked for.
#
# Version:  opencv-python-headless 5.0.0.93, cv2.dnn with its new and its classic engine, beside onnxruntime 1.31.1 and
#           NumPy 2.4.6
# Expected: Scales are what coordinates are divided by: with half_pixel, pixel i of the result lies at (i + 0.5) / 1.7 -
#           0.5 of the input, whatever the size is rounded to (9 x 1.7 = 15.3, so 15 pixels).
# Seen:     Both engines keep the size alone and take 15 / 9: the right end of a ramp lies 0.17 pixels further on, and
#           further the larger the map. The result is that of a Resize by sizes, for linear, cubic and nearest. Where
#           the product is whole, and with align_corners, it is right. antialias=1 changes nothing, without a warning.
# Costs:    torch exports interpolate(scale_factor=...) so. Maps that are brought to one size by scales drift apart
#           towards the right and lower edge, and small pictures (tests) show it least. Aliased, a fine texture is
#           taken for a defect.
# Instead:  Sizes instead of scales (recompute_scale_factor=True), in training as in the export; shrink with cv2.resize
#           and INTER_AREA before the network.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 opencv-python-headless==5.0.0.93
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)


def model(shape, out, how, by, **more):
    """Resize by scales or by sizes."""
    stored = numpy_helper.from_array(by, "by")
    inputs = ["x", "", "by"] if how == "scales" else ["x", "", "", "by"]
    graph = helper.make_graph(
        [helper.make_node("Resize", inputs, ["y"], **more)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [int(side) for side in out])],
        [stored],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def opencv(made, x, engine):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(made, np.uint8), engine)
    network.setInput(x)
    return network.forward()


def results(x, factor, **more):
    """ONNX Runtime by scales and by sizes, and OpenCV's two engines by scales."""
    shape, scales = x.shape, np.array([1, 1, factor, factor], np.float32)
    out = np.array([*shape[:2], *(int(side * np.float32(factor)) for side in shape[2:])])
    made = [model(shape, out, "scales", scales, **more), model(shape, out, "sizes", out, **more)]
    runtime = [ort.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0] for one in made]
    return *runtime, [opencv(made[0], x, engine) for engine in (cv2.dnn.ENGINE_NEW, cv2.dnn.ENGINE_CLASSIC)]


def close(one, two):
    return one.shape == two.shape and bool(np.allclose(one, two, atol=1e-4))


ramp = np.tile(np.arange(9, dtype=np.float32), (1, 1, 9, 1))
scales, sizes, (new, classic) = results(ramp, 1.7, mode="linear")
where = np.clip((np.arange(15) + 0.5) / 1.7 - 0.5, 0, 8)
for name, got in (("(i + 0.5) / 1.7 - 0.5", where), ("ONNX Runtime", scales[0, 0, 0]), ("OpenCV", new[0, 0, 0])):
    print(f"{name}: {np.round(got[-4:-1], 3).tolist()} before the last")
seen = {
    "ONNX Runtime is as the standard's formula": bool(np.allclose(scales[0, 0], where, atol=1e-4)),
    "OpenCV is as by sizes, 0.17 pixels aside at the end": close(new, sizes)
    and close(classic, sizes)
    and 0.15 < np.abs(new - scales).max() < 0.2,
}
picture = random.standard_normal((2, 3, 9, 9)).astype(np.float32)
for mode in ("linear", "cubic", "nearest"):
    for coordinates in ("half_pixel", "asymmetric"):
        for factor in (1.7, 0.6):
            scales, sizes, got = results(picture, factor, mode=mode, coordinate_transformation_mode=coordinates)
            seen[f"{mode}, {coordinates}, {factor}: as by sizes, and not as by scales"] = all(
                close(one, sizes) and not close(one, scales) for one in got
            )
whole, _, got = results(picture, 2.0, mode="linear")
corners, _, others = results(picture, 1.7, mode="linear", coordinate_transformation_mode="align_corners")
seen["whole products and align_corners are right"] = all(
    close(one, right) for right, both in ((whole, got), (corners, others)) for one in both
)
stripes = np.tile(np.array([0, 1], np.float32), (1, 1, 16, 8))
smooth, _, got = results(stripes, 0.25, mode="linear", antialias=1)
_, _, plain = results(stripes, 0.25, mode="linear")
seen["antialias changes nothing"] = all(close(one, other) for one, other in zip(got, plain, strict=True))
picture = random.standard_normal((1, 1, 16, 16)).astype(np.float32)
smooth, _, got = results(picture, 0.25, mode="linear", antialias=1)
print(f"noise shrunk to a quarter: deviation {smooth.std():.2f} with antialias, OpenCV's {got[0].std():.2f}")
seen["noise stays stronger"] = all(one.std() > 1.2 * smooth.std() for one in got)

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
