#!/usr/bin/env bash
# GStreamer gives the same YUV pixels other colours once the picture has more than 576 rows.
#
# Version:  GStreamer 1.22.0 (Debian 12), videoconvert; beside opencv-python-headless 5.0.0.93
# Expected: A frame that says nothing of its colour matrix is converted alike, whatever its size; the pixels of a camera
#           do not change when its height is set from 480 to 1080.
# Seen:     Without colorimetry in the caps videoconvert takes BT.601 up to 576 rows and BT.709 above: YUV (82, 90, 240)
#           is RGB (254, 0, 0) at 576 rows and (255, 22, 0) at 578. OpenCV's cvtColor takes BT.601 at every size.
# Costs:    Fewer rows set in the camera, or another program on the same stream, moves all colours: a model trained on
#           the one sees every part shifted on the other.
# Instead:  State colorimetry (bt601 or bt709) in the caps behind the source or decoder, in training as on the line.
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


def gstreamer(pipeline):
    subprocess.run(["root/usr/bin/gst-launch-1.0", "-q", *pipeline.split()], env=ENVIRONMENT, check=True)


def colours(height, colorimetry=""):
    planes = np.concatenate([np.full(64 * height, 82), np.full(16 * height, 90), np.full(16 * height, 240)])
    planes.astype(np.uint8).tofile("frame.yuv")
    gstreamer(
        f"filesrc location=frame.yuv blocksize={len(planes)}"
        f" ! video/x-raw,format=I420,width=64,height={height},framerate=1/1{colorimetry}"
        " ! videoconvert ! video/x-raw,format=RGB ! filesink location=frame.rgb"
    )
    opencv = cv2.cvtColor(planes.astype(np.uint8).reshape(height * 3 // 2, 64), cv2.COLOR_YUV2RGB_I420)[5, 5]
    found = tuple(np.fromfile("frame.rgb", np.uint8)[300:303].tolist()), tuple(opencv.tolist())
    print(f"{height} rows{colorimetry}: GStreamer {found[0]}, OpenCV {found[1]}")
    return found


rows = {height: colours(height) for height in (480, 576, 578, 720, 1080)}
stated = colours(1080, ",colorimetry=bt601")
seen = {
    "up to 576 rows as OpenCV": all(np.abs(np.subtract(*rows[h])).max() <= 2 for h in (480, 576)),
    "from 578 rows on green is 20 levels higher": all(rows[h][0][1] - rows[h][1][1] >= 15 for h in (578, 720, 1080)),
    "OpenCV is the same at every size": len({opencv for _, opencv in rows.values()}) == 1,
    "stated colorimetry settles it": np.abs(np.subtract(*stated)).max() <= 2,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
