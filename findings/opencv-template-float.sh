#!/usr/bin/env bash
# cv2.matchTemplate does not find an exact copy of its template in a float32 picture of bright, weak texture.
#
# Version:  opencv-python-headless 5.0.0.93, float32 pictures (16-bit ones must be converted: uint16 is refused)
# Expected: Where the template was cut out, TM_SQDIFF is 0 and its least, TM_CCOEFF_NORMED is 1 and its largest, also at
#           a grey level of 3,000 or 60,000: "normed" and "coeff" take the mean off.
# Seen:     The correlation is a Fourier transform in float32 of pictures whose mean is still in them; the mean is taken
#           off afterwards. A texture of 1 about 3,000 (12 bits) is found in none of ten places, and 100 about 60,000 in
#           three: other places have 1.0. TM_SQDIFF of an exact copy is up to 32,768 (8 million about 60,000) while it
#           is 0 somewhere else. The very same pictures less their mean are found ten times of ten, and 8-bit pictures
#           are right. A template of one grey value, as a dark camera gives it, matches every place with 1.0.
# Costs:    A part is cut out at another place, and the score of what lies there is a score of nothing; a threshold of
#           0.9 on the match does not stop it.
# Instead:  Subtract the mean before (float32 then holds the texture), or scale to 8 bits; refuse flat templates.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np

HEIGHT, WIDTH = 80, 100
random = np.random.default_rng(0)
texture = cv2.GaussianBlur(random.normal(size=(500, 700)), (0, 0), 3)
texture /= texture.std()
PLACES = [(int(random.integers(0, 420)), int(random.integers(0, 600))) for _ in range(10)]


def search(picture, method):
    """In how many of ten places the template is found where it was cut, and the results there and at the best place."""
    found, here, best = 0, [], []
    for row, column in PLACES:
        template = picture[row : row + HEIGHT, column : column + WIDTH].copy()
        result = cv2.matchTemplate(picture, template, method)
        least, largest, at_least, at_largest = cv2.minMaxLoc(result)
        value, place = (least, at_least) if method == cv2.TM_SQDIFF else (largest, at_largest)
        found += place == (column, row)
        here.append(float(result[row, column]))
        best.append(value)
    return found, here, best


rows = {}
for mean, deviation in ((128, 10), (3000, 1), (60000, 100)):
    picture = np.round(mean + deviation * texture, 1).astype(np.float32)
    for method in ("TM_CCOEFF_NORMED", "TM_SQDIFF"):
        found, here, best = search(picture, getattr(cv2, method))
        centred = search((picture - picture.astype(np.float64).mean()).astype(np.float32), getattr(cv2, method))[0]
        rows[mean, method] = found, max(here), max(best), centred
        print(f"{mean} +- {deviation} {method}: found {found} of 10, results there {min(here):.4g} to {max(here):.4g}, "
              f"best {min(best):.4g} to {max(best):.4g}; less the mean: found {centred}")
eight_bits = np.round(128 + 10 * texture).astype(np.uint8)
flat = cv2.matchTemplate(eight_bits, np.full((HEIGHT, WIDTH), 17, np.uint8), cv2.TM_CCOEFF_NORMED)
sixteen = np.round(3000 + 10 * texture).astype(np.uint16)
try:
    cv2.matchTemplate(sixteen, sixteen[:HEIGHT, :WIDTH], cv2.TM_CCOEFF_NORMED)
    refused = False
except cv2.error:
    refused = True
normed = {mean: rows[mean, "TM_CCOEFF_NORMED"] for mean in (128, 3000, 60000)}
seen = {
    "around 128 it is found": normed[128][0] == rows[128, "TM_SQDIFF"][0] == 10,
    "1 about 3,000 is not": normed[3000][0] <= 2 and rows[3000, "TM_SQDIFF"][0] <= 2,
    "elsewhere it is 1": normed[3000][2] > 0.99,
    "100 about 60,000 is not always": normed[60000][0] < 10 and rows[60000, "TM_SQDIFF"][0] < 10,
    "the difference of an exact copy is over 10,000": rows[3000, "TM_SQDIFF"][1] > 10_000,
    "less the mean it is always found": min(row[3] for row in rows.values()) == 10,
    "8 bits are right": search(eight_bits, cv2.TM_CCOEFF_NORMED)[0] == search(eight_bits, cv2.TM_SQDIFF)[0] == 10,
    "16 bits are refused": refused,
    "a flat template matches everywhere": float(flat.min()) == 1,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
