#!/usr/bin/env bash
# Pillow tears an uncompressed grey TIFF that says it is stored turned by a quarter, and reports success.
#
# Version:  Pillow 13.0.0 (12.3.0 alike); TIFF 6.0 of mode L and I;16, uncompressed, Orientation 5 to 8, not square
# Expected: The picture upright, as Pillow itself gives it for RGB, for LZW or Deflate, and for the same bytes in a
#           BytesIO.
# Seen:     Opened by its name, the rows of the stored picture are read with the width of the turned one: a 64x32
#           picture comes as 64x32, torn into rows of 32 pixels. No error, no warning; size said (32, 64) before. By
#           name alone Pillow maps the file into memory, and takes the turned size for the stored one there.
# Costs:    Grey machine-vision pictures of a camera on its side are noise to the model that is trained on them, and
#           the same noise at the line: all looks well until somebody looks at a picture.
# Instead:  Open a file object (open(path, "rb")), not the name, or save with compression.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import io
import sys

import numpy as np
from PIL import Image

noise = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
stored = {"L": noise[:, :, 0], "I;16": noise[:, :, 0].astype(np.uint16) * 200, "RGB": noise}


def read(mode, compression, by_name):
    Image.fromarray(stored[mode]).save("a.tiff", tiffinfo={274: 6}, compression=compression)
    with open("a.tiff", "rb") as file:
        data = file.read()
    with Image.open("a.tiff" if by_name else io.BytesIO(data)) as picture:
        said = picture.size
        return said, np.array(picture)


def upright(mode, compression, by_name):
    said, got = read(mode, compression, by_name)
    right = got.shape == (64, 32, *stored[mode].shape[2:]) and np.array_equal(got, np.rot90(stored[mode], -1))
    print(f"{mode:5} {compression:9} {'by name' if by_name else 'BytesIO'}: size said {said}, array {got.shape},", right)
    return right


seen = {
    "grey of 8 bits by name is torn": not upright("L", "raw", True),
    "grey of 16 bits by name is torn": not upright("I;16", "raw", True),
    "the same bytes from memory are right": upright("L", "raw", False) and upright("I;16", "raw", False),
    "compressed they are right": upright("L", "tiff_lzw", True) and upright("I;16", "tiff_lzw", True),
    "in colour they are right": upright("RGB", "raw", True),
    "what comes is the stored rows cut to the turned width": np.array_equal(
        np.rot90(read("L", "raw", True)[1]), stored["L"].ravel()[: 64 * 32].reshape(64, 32)
    ),
}
for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
