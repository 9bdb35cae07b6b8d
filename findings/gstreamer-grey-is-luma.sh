#!/usr/bin/env bash
# GStreamer's GRAY8 of a video is not the grey of its RGB: white is 235, and in RGB it is 253.
#
# Version:  GStreamer 1.22.0 (Debian 12), videoconvert; beside opencv-python-headless 5.0.0.93
# Expected: A camera's or decoder's I420 runs from 16 (black) to 235 (white). videoconvert brings it to 0 to 255 in
#           GRAY8 as it does in RGB; at least where the caps state the full range for GRAY8.
# Seen:     GRAY8 is the luma byte as it came: 16 for black, 235 for white, from I420, NV12 and YUY2 alike, also with
#           colorimetry=1:4:0:0 (full range, BT.601) behind it. Through RGB the same pixels are 0 and 253 (OpenCV: 0 and
#           255), a luma of 81 becomes 74 (OpenCV: 76). Only colorimetry=1:0:0:0, full range of no matrix, makes GRAY8
#           as RGB is.
# Costs:    A model trained on frames saved in colour and made grey sees the line's GRAY8 stream with a contrast of 86 %
#           and black lifted by 16 levels; each of the two looks right on a screen.
# Instead:  State colorimetry=1:0:0:0 behind videoconvert, or take grey one way in training and at the line; test with a
#           black and a white frame.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Unpacked, not installed: Debian 12 on x86-64, package lists fetched by apt-get update.
mkdir packages root
(
    cd packages
    apt-get -qq -o APT::Sandbox::User=root download >/dev/null \
        'gstreamer1.0-tools=1.22.0-*' 'libgstreamer1.0-0=1.22.0-*' \
        'gstreamer1.0-plugins-base=1.22.0-*' 'libgstreamer-plugins-base1.0-0=1.22.0-*' \
        libglib2.0-0 liborc-0.4-0 libunwind8 libdw1 libelf1
)
for package in packages/*.deb; do dpkg -x "$package" root; done
libraries=$work/root/usr/lib/x86_64-linux-gnu
export GST_PLUGIN_SYSTEM_PATH=$libraries/gstreamer-1.0 GST_PLUGIN_PATH= GST_REGISTRY=$work/registry
export GST_PLUGIN_SCANNER=$libraries/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93
"$work/venv/bin/python" - <<'PY'
import os
import subprocess
import sys

import cv2
import numpy as np

ENVIRONMENT = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(os.environ["GST_PLUGIN_SYSTEM_PATH"])}
SIDE = 64


def converted(frame, source, target):
    frame.tofile("frame.raw")
    pipeline = (
        f"filesrc location=frame.raw blocksize={frame.nbytes}"
        f" ! video/x-raw,width={SIDE},height={SIDE},framerate=1/1,{source}"
        f" ! videoconvert ! video/x-raw,{target} ! filesink location=frame.out"
    )
    subprocess.run(["root/usr/bin/gst-launch-1.0", "-q", *pipeline.split()], env=ENVIRONMENT, check=True)
    levels = np.unique(np.fromfile("frame.out", np.uint8)).tolist()
    return levels[0] if len(levels) == 1 else levels


found = {}
for luma in (16, 81, 235):
    planar = np.concatenate([np.full(SIDE * SIDE, luma), np.full(SIDE * SIDE // 2, 128)]).astype(np.uint8)
    pairs = np.tile(np.array([luma, 128], np.uint8), SIDE * SIDE)
    opencv = cv2.cvtColor(planar.reshape(SIDE * 3 // 2, SIDE), cv2.COLOR_YUV2RGB_I420)
    found[luma] = {
        "GRAY8 of I420": converted(planar, "format=I420", "format=GRAY8"),
        "GRAY8 of NV12": converted(planar, "format=NV12", "format=GRAY8"),
        "GRAY8 of YUY2": converted(pairs, "format=YUY2", "format=GRAY8"),
        "GRAY8, both stated": converted(planar, "format=I420,colorimetry=bt601", "format=GRAY8,colorimetry=1:4:0:0"),
        "no matrix": converted(planar, "format=I420", "format=GRAY8,colorimetry=1:0:0:0"),
        "RGB of I420": converted(planar, "format=I420", "format=RGB"),
        "OpenCV": int(opencv[5, 5, 0]),
    }
    print(f"luma {luma}: {found[luma]}")
grey = [name for name in found[16] if name.startswith("GRAY8")]
seen = {
    "GRAY8 is the luma as it came": all(found[luma][name] == luma for luma in found for name in grey),
    "without a matrix it is as in RGB": all(luma["no matrix"] == luma["RGB of I420"] for luma in found.values()),
    "RGB has black at 0": found[16]["RGB of I420"] == 0,
    "and white at 253, not 255": found[235]["RGB of I420"] == 253 and found[235]["OpenCV"] == 255,
    "the middle is two levels darker than OpenCV's": found[81]["RGB of I420"] == 74 and found[81]["OpenCV"] == 76,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
