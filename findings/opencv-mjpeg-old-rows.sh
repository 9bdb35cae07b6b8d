#!/usr/bin/env bash
# OpenCV fills the missing half of a cut-off MJPEG frame with an older picture and reports success.
#
# Version:  opencv-python-headless 5.0.0.93 (its bundled FFmpeg), beside Pillow 13.0.0; MJPEG as cameras send it
# Expected: A JPEG that ends in the middle (a lost USB or network packet) is an error, a grey half, or the rows that
#           came.
# Seen:     read() returns True and a picture whose lower half is that of the frame *before*. Pillow raises "image file
#           is truncated" on the same bytes, and cv2.imdecode returns None.
# Costs:    A defect in the lower half of a part whose frame was cut off is replaced by the good part before it.
# Instead:  Take MJPEG undecoded (CAP_PROP_CONVERT_RGB 0, or a demuxer), demand the end-of-image marker, decode
#           strictly.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93
cd "$work"
"$work/venv/bin/python" - <<'PY'
import io
import os
import sys

import cv2
import numpy as np
from PIL import Image


def jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return file.getvalue()


good, defective, last = (
    np.clip(np.random.default_rng(seed).normal(200, 5, (240, 320, 3)), 0, 255).astype(np.uint8) for seed in range(3)
)
defective[160:200, 100:200] = 20
cut = jpeg(defective)
cut = cut[: len(cut) // 2]
with open("camera.mjpeg", "wb") as file:
    file.write(jpeg(good) + cut + jpeg(last))

os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
capture = cv2.VideoCapture("camera.mjpeg")
frames = []
while True:
    ok, frame = capture.read()
    if not ok:
        break
    frames.append(frame)
defect = [float(frame[165:195, 110:190].mean()) for frame in frames]
print(
    "frames",
    len(frames),
    "- mean of the place of the defect (20 in the part, 200 in the one before):",
    np.round(defect),
)
still = cv2.imdecode(np.frombuffer(cut, np.uint8), cv2.IMREAD_COLOR)
try:
    Image.open(io.BytesIO(cut)).load()
    pillow = "decoded"
except OSError as error:
    pillow = str(error)
print("imdecode:", None if still is None else still.shape, "; Pillow:", pillow)
seen = {
    "three frames, no error": len(frames) == 3,
    "the second shows the first one's rows": len(frames) == 3 and np.array_equal(frames[1][-40:], frames[0][-40:]),
    "and the defect is gone": len(frames) == 3 and defect[1] > 150,
    "Pillow refuses": "truncated" in pillow,
    "imdecode refuses": still is None,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
