#!/usr/bin/env bash
# One NaN, infinite or very large pixel spoils all below it in cv2.blur, and all below and right of it in SciPy.
#
# Version:  opencv-python-headless 5.0.0.93 and scipy 1.17.1, float32 and float64 maps
# Expected: A mean over 5 x 5 is wrong where the bad pixel lies in the window: 25 pixels, as in filter2D with 25 weights
#           of 1/25. (SciPy documents that NaN, alone of these, is undefined in uniform_filter.)
# Seen:     Both keep a running sum, and NaN less NaN, or infinity less infinity, is NaN to the picture's end. cv2.blur
#           and boxFilter: five columns down to the last row; sqrBoxFilter and uniform_filter: the whole rectangle below
#           and to the right. A finite 1e20 rubs the small numbers out of the sum: from there on the mean of a map of
#           ones is 0.2 below it in cv2.blur, and 0 to the right of it and 0.8 below it in uniform_filter. In
#           sqrBoxFilter 1e10 does so already. GaussianBlur and filter2D are local.
# Costs:    3D cameras write NaN, infinity or 1e30 where they see nothing. Smoothed and compared with a threshold (NaN
#           above it is false, 0 is small), all behind the first hole of a height map or an anomaly map counts as good.
# Instead:  Replace such pixels first, and blur a mask of the valid ones beside it; or cv2.filter2D with a full kernel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    opencv-python-headless==5.0.0.93 scipy==1.17.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np
from scipy import ndimage

HEIGHT, WIDTH, ROW, COLUMN = 40, 50, 10, 20
FILTERS = {
    "filter2D": lambda x: cv2.filter2D(x, -1, np.full((5, 5), 1 / 25)),
    "GaussianBlur": lambda x: cv2.GaussianBlur(x, (5, 5), 1),
    "blur": lambda x: cv2.blur(x, (5, 5)),
    "sqrBoxFilter": lambda x: cv2.sqrBoxFilter(x, -1, (5, 5)),
    "uniform_filter": lambda x: ndimage.uniform_filter(x, 5),
}
WINDOW, COLUMNS, REST = 25, 5 * (HEIGHT - ROW + 2), (HEIGHT - ROW + 2) * (WIDTH - COLUMN + 2)
counts, behind = {}, {}
for name, smooth in FILTERS.items():
    for bad in (np.nan, np.inf, 1e20, 1e10):
        for kind in (np.float32, np.float64):
            picture = np.ones((HEIGHT, WIDTH), kind)
            picture[ROW, COLUMN] = bad
            with np.errstate(all="ignore"):
                smoothed = smooth(picture)
            wrong = ~(np.abs(smoothed - 1) < 1e-3)
            counts[name, bad, kind] = int(wrong.sum())
            behind[name, bad, kind] = float(smoothed[-1, COLUMN]), float(smoothed[ROW, -1])
    print(name, {bad: counts[name, bad, np.float32] for bad in (np.nan, np.inf, 1e20, 1e10)}, "pixels are not 1")


def everywhere(name, bads, expected):
    return all(counts[name, bad, kind] == expected for bad in bads for kind in (np.float32, np.float64))


seen = {
    "filter2D and GaussianBlur: the window only": all(
        everywhere(name, (np.nan, np.inf, 1e20, 1e10), WINDOW) for name in ("filter2D", "GaussianBlur")
    ),
    "blur: five columns to the end": everywhere("blur", (np.nan, np.inf, 1e20), COLUMNS),
    "after 1e20 the mean of ones is 0.2 below and 1 on the right in blur": np.allclose(
        behind["blur", 1e20, np.float32], (0.2, 1)
    ),
    "and 0.8 below and 0 on the right in uniform_filter": np.allclose(
        behind["uniform_filter", 1e20, np.float32], (0.8, 0)
    ),
    "sqrBoxFilter and uniform_filter: all below and right": all(
        everywhere(name, (np.nan, np.inf), REST) for name in ("sqrBoxFilter", "uniform_filter")
    ),
    "1e10 stays in the window, but in sqrBoxFilter": everywhere("blur", (1e10,), WINDOW)
    and everywhere("uniform_filter", (1e10,), WINDOW)
    and counts["sqrBoxFilter", 1e10, np.float32] > 4 * WINDOW,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
