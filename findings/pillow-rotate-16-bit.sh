#!/usr/bin/env bash
# Pillow turns a 16-bit picture smoothly into one of 8 bits: bilinear and bicubic rotation keep nothing above 255.
#
# Version:  Pillow 13.0.0, mode I;16
# Expected: rotate() with BILINEAR or BICUBIC gives grey levels between those of the picture, as for modes L and F, and
#           as resize() does with the same filters and the same mode; or a ValueError, as filter() and blend() raise.
# Seen:     Every pixel comes as 0 to 255, still in mode I;16: a flat 40,000 becomes a pattern of 64 to 156. NEAREST
#           is right. transform() does the same, and torchvision's rotate and affine, which call it. Pillow's issue 1127
#           of 2015 reported a black picture from transform(), and was closed.
# Costs:    Augmented or straightened 10- to 16-bit pictures are noise between 0 and 255 of 65,535, black on a screen;
#           turned by 0 degrees, or with NEAREST in a quick test, they are right.
# Instead:  Convert to mode F, rotate, and round to uint16 by numpy: convert("I;16") of mode F stops at 255 as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
from PIL import Image

Filter = Image.Resampling
levels = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
picture, flat = Image.fromarray(levels), Image.fromarray(np.full((64, 64), 40000, np.uint16))
middle = (slice(24, 40), slice(24, 40))
found = {}
for method in (Filter.NEAREST, Filter.BILINEAR, Filter.BICUBIC):
    turned = picture.rotate(10, method)
    smooth = np.asarray(picture.convert("F").rotate(10, method))
    found[method] = turned.mode, int(np.asarray(turned).max()), float(smooth.max())
    inside = np.asarray(flat.rotate(10, method))[middle]
    found[method] += ((int(inside.min()), int(inside.max())),)
    print(f"{method.name}: {turned.mode} up to {found[method][1]}, by mode F up to {smooth.max():.0f};", end=" ")
    print("a flat 40000 becomes {} to {}".format(*found[method][3]))
resized = np.asarray(picture.resize((48, 48), Filter.BILINEAR))
shifted = np.asarray(flat.transform((64, 64), Image.Transform.AFFINE, (1, 0, 0.5, 0, 1, 0.5), Filter.BILINEAR))
back = np.asarray(flat.convert("F").convert("I;16"))
print("resize BILINEAR up to", resized.max(), "; transform of 40000:", shifted[middle].max(), end=" ")
print("; 40000 to F and back:", back.max())
seen = {
    "NEAREST keeps the levels": found[Filter.NEAREST][1] > 60000 and found[Filter.NEAREST][3] == (40000, 40000),
    "BILINEAR and BICUBIC end at 255": all(found[m][1] <= 255 for m in (Filter.BILINEAR, Filter.BICUBIC)),
    "still in mode I;16": {mode for mode, *_ in found.values()} == {"I;16"},
    "a flat 40000 is not one any more": all(found[m][3][1] <= 255 for m in (Filter.BILINEAR, Filter.BICUBIC)),
    "mode F is right": all(found[m][2] > 50000 for m in (Filter.BILINEAR, Filter.BICUBIC)),
    "resize with the same filter is right": int(resized.max()) > 50000,
    "transform is as rotate": int(shifted[middle].max()) <= 255,
    "mode F to I;16 ends at 255": int(back.max()) == 255,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
