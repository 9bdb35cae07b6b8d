#!/usr/bin/env bash
# A scratch that was drawn as a polygon has 30 pixels, 62 or none: the library that fills it decides.
#
# Version:  opencv-python-headless 5.0.0.93 (fillPoly), pillow 13.0.0 (ImageDraw.polygon), scikit-image 0.26.0 (polygon,
#           polygon2mask), pycocotools 2.0.11 (frPyObjects, decode), NumPy 2.4.6
# Expected: The same corners fill the same pixels, but for a tie here and there: as many as the polygon has area.
# Seen:     pycocotools takes corners for corners of pixels; a square of 10 x 10 fills 100. The others take them for
#           middles of pixels and fill the border as well: 121. A scratch of 30 x 1 is 30 pixels in pycocotools and 62
#           in the others. Half a pixel wide it is 62 in OpenCV, whose corners must be integers, 31 in Pillow, 30 in
#           pycocotools, and nothing at all in scikit-image. A dot of 2 x 2 is 4 or 9. They also lie elsewhere: the
#           middle of the pixels is half a pixel further right and down in the others.
# Costs:    The same annotations give other masks in training (Pillow, in many tools of annotation) and in evaluation
#           (pycocotools): other PRO and IoU, another smallest defect in mm2; thin scratches are halved, doubled or
#           lost.
# Instead:  Fill once, with one library, and hand on masks; state which convention annotations have. Compare the number
#           of pixels with the area.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 scikit-image==0.26.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 pycocotools==2.0.11
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import cv2
import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from skimage import draw

warnings.filterwarnings("ignore", category=DeprecationWarning)  # of pycocotools
SIDE = 64


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


shapes = {
    "square of 10 x 10": (box(10, 10, 20, 20), 100),
    "scratch of 30 x 1": (box(10, 10, 40, 11), 30),
    "scratch of 30 x 0.5": (box(10, 10.2, 40, 10.7), 15),
    "dot of 2 x 2": (box(10, 10, 12, 12), 4),
}


def fill(corners):
    opencv = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(opencv, [np.round(corners).astype(np.int32)], 1)
    picture = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners], fill=1, outline=1)
    return {
        "OpenCV": opencv,
        "Pillow": np.array(picture, np.uint8),
        "scikit-image": draw.polygon2mask((SIDE, SIDE), corners[:, ::-1]),
        "pycocotools": coco.decode(coco.frPyObjects([corners.ravel().tolist()], SIDE, SIDE))[..., 0],
    }


pixels = {}
for name, (corners, area) in shapes.items():
    pixels[name] = tuple(int(mask.sum()) for mask in fill(corners).values())
    print(f"{name}, area {area}:", dict(zip(fill(corners), pixels[name], strict=True)))
middles = {name: np.argwhere(mask).mean(axis=0).tolist() for name, mask in fill(shapes["square of 10 x 10"][0]).items()}
print("middle of the square:", middles)
overlap = fill(shapes["scratch of 30 x 1"][0])
both = overlap["Pillow"] & overlap["pycocotools"]
union = overlap["Pillow"] | overlap["pycocotools"]
print(f"IoU of the scratch with itself, Pillow and pycocotools: {both.sum() / union.sum():.2f}")
seen = {
    "a square is 121 pixels, and 100 in pycocotools": pixels["square of 10 x 10"] == (121, 121, 121, 100),
    "a scratch of 30 x 1 is 62, and 30": pixels["scratch of 30 x 1"] == (62, 62, 62, 30),
    "half as wide it is 62, 31, nothing, and 30": pixels["scratch of 30 x 0.5"] == (62, 31, 0, 30),
    "a dot is 9, and 4": pixels["dot of 2 x 2"] == (9, 9, 9, 4),
    "the scratch overlaps with itself by less than half": both.sum() < 0.5 * union.sum(),
    "pycocotools' square lies half a pixel further left and up": middles["pycocotools"] == [14.5, 14.5]
    and all(middle == [15, 15] for name, middle in middles.items() if name != "pycocotools"),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
