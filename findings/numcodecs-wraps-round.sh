#!/usr/bin/env bash
# numcodecs stores the hottest pixel of a map as the coldest: FixedScaleOffset wraps round at the ends of its integers.
#
# Version:  numcodecs 0.16.6, the filter as Zarr's archives of format 2 name it; NumPy 2.4.6
# Expected: Values beyond what the integers hold are kept at the nearest end, as HDF5 does where 300 is written into
#           uint8, or refused.
# Seen:     With scale 10 and uint8 the range is 0 to 25.5. 25.6 comes back as 0, 30 as 4.4, -1 as 24.6: rounded, and
#           then cast as NumPy does. Nothing is raised, and nothing is said. Of int8 12.8 is -12.8.
# Costs:    Anomaly maps are archived so, a tenth of a grade in a byte, with a range that all good parts fit. The middle
#           of a real defect comes back as the quietest place of the picture, its rim right.
# Instead:  numpy.clip to the codec's range before; or float16, or integers for the largest value there can be.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 numcodecs==0.16.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
from numcodecs import FixedScaleOffset

warnings.simplefilter("error")


def back(values, kind):
    codec = FixedScaleOffset(offset=0, scale=10, dtype="f4", astype=kind)
    return np.asarray(codec.decode(codec.encode(np.array(values, np.float32))), float).round(3).tolist()


inside, beyond = [0.0, 0.1, 12.7, 25.4, 25.5], [25.6, 30.0, 40.0, 51.2, -0.1, -1.0]
print("within the range:", inside, "->", back(inside, "u1"))
print("beyond it:       ", beyond, "->", back(beyond, "u1"))
rows, columns = np.mgrid[-5:6, -5:6]
heat = 30 * np.exp(-(rows**2 + columns**2) / 20)
kept = np.array(back(heat.ravel(), "u1")).reshape(heat.shape)
print("a defect of up to 30, its middle row:", heat[5].round(1).tolist())
print("as it comes back:                    ", kept[5].tolist())
seen = {
    "within the range all is right": back(inside, "u1") == inside,
    "beyond it, it wraps round, without a warning": back(beyond, "u1") == [0.0, 4.4, 14.4, 0.0, 25.5, 24.6],
    "signed integers likewise": back([12.7, 12.8, -12.9], "i1") == [12.7, -12.8, 12.7],
    "the hottest pixel is not the hottest any more": kept[5, 5] < 5 and heat.argmax() != kept.argmax(),
    "clipped before, it is": back(heat.ravel().clip(0, 25.5), "u1")[heat.argmax()] == 25.5,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
