#!/usr/bin/env bash
# The same 12-bit picture is 16 times as bright from one file format as from the other, and Pillow and OpenCV differ in
# which one it is.
#
# Version:  Pillow 13.0.0 and opencv-python-headless 5.0.0.93; TIFF 6.0 with 12 bits per sample, PGM with maxval 4095
# Expected: A level of 2047 of 4095 comes as 2047 from lossless files, or scaled to 16 bits, but from both alike.
# Seen:     Pillow: 2047 from TIFF, 32,759 from PGM (scaled to 65,535; its issue 6202 asks for a switch). OpenCV: 32,752
#           from TIFF (shifted by four bits), 2047 from PGM. As 8-bit grey OpenCV makes 7 of the PGM's 2047 and None of
#           the TIFF. Neither tells the file's depth with the array.
# Costs:    Twelve-bit pictures collected as PGM train a model on levels up to 65,535, while the camera sends 4,095 at
#           the line: all parts are black. A change of the format, or of the reader, moves every threshold 16-fold.
# Instead:  Store 12 bits in 16-bit PNG or TIFF, where both readers give the levels as they were.
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

LEVELS = [0, 1, 2047, 4095]
ROWS = 4


def tiff(bits, pixels):
    """One uncompressed strip of grey with black as 0."""
    fields = {256: 4, 257: ROWS, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: ROWS, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return struct.pack("<4sI", b"II*\0", 8 + len(pixels)) + pixels + struct.pack("<H", 9) + entries + bytes(4)


def packed(levels):
    bits = "".join(f"{level:012b}" for level in levels)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


files = {
    "12 bits.tiff": tiff(12, packed(LEVELS) * ROWS),
    "12 bits.pgm": b"P5 4 4 4095\n" + np.array(LEVELS * ROWS, ">u2").tobytes(),
    "16 bits.tiff": tiff(16, np.array(LEVELS * ROWS, "<u2").tobytes()),
    "16 bits.pgm": b"P5 4 4 65535\n" + np.array(LEVELS * ROWS, ">u2").tobytes(),
}
pillow, opencv, grey = {}, {}, {}
for name, data in files.items():
    with open(name, "wb") as file:
        file.write(data)
    pillow[name] = np.asarray(Image.open(name))[0].tolist()
    opencv[name] = cv2.imread(name, cv2.IMREAD_UNCHANGED)[0].tolist()
    eight = cv2.imread(name, cv2.IMREAD_GRAYSCALE)
    grey[name] = None if eight is None else eight[0].tolist()
    print(f"{LEVELS} in {name}: Pillow {pillow[name]}, OpenCV {opencv[name]}, as 8-bit grey {grey[name]}")
seen = {
    "Pillow gives TIFF as it is": pillow["12 bits.tiff"] == LEVELS,
    "and PGM 16 times as bright": pillow["12 bits.pgm"] == [0, 16, 32759, 65535],
    "OpenCV gives PGM as it is": opencv["12 bits.pgm"] == LEVELS,
    "and TIFF 16 times as bright": opencv["12 bits.tiff"] == [level * 16 for level in LEVELS],
    "as 8-bit grey the PGM is nearly black and the TIFF is nothing": grey["12 bits.pgm"] == [0, 0, 7, 15]
    and grey["12 bits.tiff"] is None,
    "in files of 16 bits both agree": all(found[n] == LEVELS for found in (pillow, opencv) for n in files if "16" in n),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
