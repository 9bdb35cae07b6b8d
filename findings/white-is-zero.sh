#!/usr/bin/env bash
# Whether a grey TIFF comes as its own negative depends on its depth, and in OpenCV on the flag.
#
# Version:  Pillow 13.0.0 and opencv-python-headless 5.0.0.93; TIFF 6.0, PhotometricInterpretation 0 (white is zero)
# Expected: A reader shows black as 0, or gives the stored numbers and the tag; but it does the same for 8 and 16 bits.
# Seen:     8 bits: both libraries turn the levels round. 16 bits: Pillow gives them as stored. OpenCV gives them as
#           stored with IMREAD_UNCHANGED and turned round with IMREAD_GRAYSCALE or IMREAD_COLOR. No warning. (OpenCV's
#           issue 9550 of 2017 was that such a file came as 8 bits; it was closed.)
# Costs:    X-ray detectors and scanners write white as 0. A 16-bit archive trains on negatives of what its 8-bit copy,
#           or the same file read with another flag, shows; voids and inclusions swap places.
# Instead:  Read the tag (262) and turn the levels round oneself, or refuse such files.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93
cd "$work"
"$work/venv/bin/python" - <<'PY'
import struct
import sys

import cv2
import numpy as np
from PIL import Image


def write(name, levels, white_is_zero):
    """One uncompressed strip of grey."""
    rows, columns = levels.shape
    pixels = levels.tobytes()
    fields = {256: columns, 257: rows, 258: levels.itemsize * 8, 259: 1, 262: 0 if white_is_zero else 1, 273: 8}
    fields |= {277: 1, 278: rows, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    with open(name, "wb") as file:
        file.write(struct.pack("<4sI", b"II*\0", 8 + len(pixels)) + pixels + struct.pack("<H", 9) + entries + bytes(4))


READERS = {
    "Pillow": lambda name: np.asarray(Image.open(name)),
    "UNCHANGED": lambda name: cv2.imread(name, cv2.IMREAD_UNCHANGED),
    "GRAYSCALE": lambda name: cv2.imread(name, cv2.IMREAD_GRAYSCALE),
    "COLOR": lambda name: cv2.imread(name, cv2.IMREAD_COLOR)[..., 0],
}
turned = {}
for kind, stored in ((np.uint8, [0, 10, 100, 255]), (np.uint16, [0, 1000, 30000, 65535])):
    bits = np.iinfo(kind).bits
    for white_is_zero in (False, True):
        name = f"{bits}-{white_is_zero}.tiff"
        write(name, np.array([stored] * 4, kind), white_is_zero)
        for reader, read in READERS.items():
            levels = read(name)[0].astype(int)
            turned[bits, white_is_zero, reader] = bool((np.diff(levels) < 0).all())
            assert turned[bits, white_is_zero, reader] or (np.diff(levels) > 0).all()
            print(f"{stored}, white is {'zero' if white_is_zero else 'highest'}, {reader}: {levels.tolist()}")
seen = {
    "black as zero: nobody turns it round": not any(turned[bits, False, r] for bits in (8, 16) for r in READERS),
    "8 bits, white as zero: all turn it round": all(turned[8, True, reader] for reader in READERS),
    "16 bits: Pillow does not": not turned[16, True, "Pillow"],
    "16 bits: OpenCV does not with UNCHANGED": not turned[16, True, "UNCHANGED"],
    "16 bits: OpenCV does with GRAYSCALE and COLOR": turned[16, True, "GRAYSCALE"] and turned[16, True, "COLOR"],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
