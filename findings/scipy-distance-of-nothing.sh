#!/usr/bin/env bash
# SciPy's distance to the nearest defect is small in one corner of a picture that has no defect.
#
# Version:  scipy 1.17.1, ndimage.distance_transform_edt, beside opencv-python-headless 5.0.0.93; SciPy's issue 1616,
#           open
# Expected: Distances to the nearest zero of a mask without zeros are infinite, or very large, or an error.
# Seen:     They are those to a pixel outside of the picture, in row -1 and column 0: 1 in the upper left corner, more
#           to the right and down. distance_transform_cdt gives -1 everywhere, OpenCV's distanceTransform 1.8e19.
# Costs:    A tolerance zone round labelled defects, "pixels within 20 of a defect do not count as false alarms", puts
#           one into the upper left corner of every good picture; weights by distance are wrong in good pictures alone.
# Instead:  Ask mask.all() before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 opencv-python-headless==5.0.0.93
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np
from scipy import ndimage

good = np.zeros((48, 64), bool)
distances, nearest = ndimage.distance_transform_edt(~good, return_indices=True)
rows, columns = np.mgrid[:48, :64]
print("distances in the upper left corner:", distances[:3, :3].round(2).tolist())
print("the nearest defect is in row", np.unique(nearest[0]), "and column", np.unique(nearest[1]))
print("pixels within 20 of a defect:", int((distances <= 20).sum()), "of", distances.size)
bad = good.copy()
bad[20, 30] = True
seen = {
    "they are those to row -1, column 0": bool(np.allclose(distances, np.hypot(rows + 1, columns))),
    "a tenth of the picture lies within 20 of no defect": (distances <= 20).mean() > 0.08,
    "the chamfer transform says -1": bool((ndimage.distance_transform_cdt(~good) == -1).all()),
    "OpenCV says very far": bool((cv2.distanceTransform((~good).astype(np.uint8), cv2.DIST_L2, 0) > 1e18).all()),
    "with one defect all is right": bool(
        np.allclose(ndimage.distance_transform_edt(~bad), np.hypot(rows - 20, columns - 30))
    ),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
