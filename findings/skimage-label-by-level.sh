#!/usr/bin/env bash
# One mask has two defects in SciPy and OpenCV, and 201 in scikit-image: there each grey level is a region of its own.
#
# Version:  scikit-image 0.26.0 (measure.label, regionprops), beside scipy 1.17.1 and opencv-python-headless 5.0.0.93
# Expected: What is not background is foreground: connected pixels are one region, as in scipy.ndimage.label and
#           cv2.connectedComponents.
# Seen:     scikit-image joins neighbours of equal value only. A mask with a blob and a scratch, made half as large by
#           Pillow's resize, which leaves a rim of grey levels, has 2 regions in the two others and 201 in scikit-image,
#           of which 193 have four pixels or fewer. Masks of two levels, or of bool, are the same in all three.
# Costs:    PRO weighs each region alike: rim pixels are 193 of the 201 regions, and what the map does inside the
#           defects counts for 1 %. A map that is blind to both defects but bright around them passes for good.
# Instead:  measure.label(mask > 127); resize masks with NEAREST.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 opencv-python-headless==5.0.0.93 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import cv2
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import measure

warnings.simplefilter("error")
picture = Image.new("L", (512, 512))
draw = ImageDraw.Draw(picture)
draw.ellipse((100, 100, 200, 180), fill=255)
draw.line((250, 300, 400, 450), fill=255, width=3)
whole = np.array(picture)
half = np.array(picture.resize((256, 256)))
masks = {"as drawn": whole, "made half as large": half, "and cut at 127": np.uint8(half > 127), "of bool": half > 127}


def regions(mask):
    return (
        int(measure.label(mask).max()),
        int(ndimage.label(mask, np.ones((3, 3)))[1]),
        cv2.connectedComponents(mask.astype(np.uint8))[0] - 1,
    )


def overlap(score, labels):
    """The mean over the regions of the part that lies above the threshold: PRO at one threshold."""
    return float(np.mean([score[labels == number].mean() for number in range(1, labels.max() + 1)]))


counts = {name: regions(mask) for name, mask in masks.items()}
for name, found in counts.items():
    print(f"{name}: scikit-image {found[0]}, SciPy {found[1]}, OpenCV {found[2]}")
labels = measure.label(half)
small = int(np.sum(np.bincount(labels.ravel())[1:] <= 4))
rim = (half > 0) & (half < 255)
by_level, by_region = overlap(rim, labels), overlap(rim, ndimage.label(half, np.ones((3, 3)))[0])
print(f"of scikit-image's {counts['made half as large'][0]} regions {small} have four pixels or fewer")
print(f"a map that is bright on the rims only has an overlap of {by_level:.3f}, with SciPy's regions {by_region:.3f}")
seen = {
    "a mask of two levels has two regions in all three": set(counts["as drawn"]) == {2},
    "resized, it has more than a hundred in scikit-image": counts["made half as large"][0] > 100,
    "and two in the others": counts["made half as large"][1:] == (2, 2),
    "nearly all have four pixels or fewer": small > 0.9 * counts["made half as large"][0],
    "a map that sees only rims overlaps to 0.98 and more": by_level > 0.98 > 0.6 > by_region,
    "cut at 127 it is two again": set(counts["and cut at 127"]) == {2} == set(counts["of bool"]),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
