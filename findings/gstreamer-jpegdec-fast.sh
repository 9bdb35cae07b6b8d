#!/usr/bin/env bash
# GStreamer's jpegdec decodes grey JPEGs to other values than every other program, unless told not to.
#
# Version:  GStreamer 1.22.0 (Debian 12), jpegdec; beside Pillow 13.0.0
# Expected: The same libjpeg-turbo gives the same grey levels: Pillow, OpenCV and jpegdec agree, at least without
#           colour.
# Seen:     jpegdec asks for the fast inverse transform by default: up to 5 grey levels apart on noise, two of three
#           pixels differ. With idct-method=islow it equals Pillow to the bit.
# Costs:    Scores on a stream differ from those on the saved frames of the same camera, and look like noise of the
#           model.
# Instead:  jpegdec idct-method=islow in every pipeline.
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
        'gstreamer1.0-plugins-good=1.22.0-*' \
        libglib2.0-0 liborc-0.4-0 libunwind8 libdw1 libelf1 libjpeg62-turbo
)
for package in packages/*.deb; do dpkg -x "$package" root; done
libraries=$work/root/usr/lib/x86_64-linux-gnu
export GST_PLUGIN_SYSTEM_PATH=$libraries/gstreamer-1.0 GST_PLUGIN_PATH= GST_REGISTRY=$work/registry
export GST_PLUGIN_SCANNER=$libraries/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
"$work/venv/bin/python" - <<'PY'
import os
import subprocess
import sys

import numpy as np
from PIL import Image

ENVIRONMENT = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(os.environ["GST_PLUGIN_SYSTEM_PATH"])}


def gstreamer(pipeline):
    subprocess.run(["root/usr/bin/gst-launch-1.0", "-q", *pipeline.split()], env=ENVIRONMENT, check=True)


picture = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
Image.fromarray(picture).save("frame.jpg", quality=90)
pillow = np.asarray(Image.open("frame.jpg")).astype(int)


def apart(options):
    gstreamer(
        f"filesrc location=frame.jpg blocksize=1000000 ! jpegdec {options}"
        " ! video/x-raw,format=GRAY8 ! filesink location=frame.raw"
    )
    difference = np.abs(np.fromfile("frame.raw", np.uint8).reshape(256, 256).astype(int) - pillow)
    share = np.mean(difference > 0)
    print(f"jpegdec {options}: up to {difference.max()} grey levels from Pillow, {share:.1%} of the pixels")
    return int(difference.max())


default, exact = apart(""), apart("idct-method=islow")
seen = {"by default 3 or more levels apart": default >= 3, "islow equals Pillow": exact == 0}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
