#!/usr/bin/env bash
# An even grey of 12 bits comes from PyAV as a pattern of two levels.
#
# Version:  PyAV 18.1.0 (its own FFmpeg), VideoFrame.to_ndarray and reformat; NumPy 2.4.6
# Expected: One level of 10, 12 or 16 bits becomes one level of 8 bits, the next or the lower one, as with a shift, in
#           NumPy, OpenCV or GStreamer's videoconvert.
# Seen:     gray10le, gray12le and gray16le to "gray" are dithered: an even 2003 of 4095 is 124 at a quarter of the
#           pixels and 125 at the others, in a pattern that repeats every 8 pixels, the same in each frame. To yuv420p
#           the colour of this grey is dithered as well. To rgb24, and from gray12le to gray16le, nothing is. The mean
#           is kept; reformat has no argument that turns it off.
# Costs:    A smooth surface has a texture of period 2 to 8, which moves with the crop, and not with the part. A model
#           trained on such frames sees none at a camera that sends 8 bits; at the edge of a level its map is spotted.
# Instead:  Take frames in their own format and shift them in NumPy, or go by rgb24.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 av==18.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import av
import numpy as np

warnings.simplefilter("error")


def even(level, kind):
    return av.VideoFrame.from_ndarray(np.full((64, 64), level, np.uint16), format=kind)


def levels(array):
    values, counts = np.unique(array, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


frame = even(2003, "gray12le")
grey = frame.to_ndarray(format="gray")
found = {
    name: levels(even(level, kind).to_ndarray(format="gray"))
    for name, level, kind in (
        ("10 bits, 500", 500, "gray10le"), ("12 bits, 2003", 2003, "gray12le"), ("16 bits, 32000", 32000, "gray16le"),
    )
}
for name, counts in found.items():
    print(f"{name}: levels and pixels {counts}")
print(f"the mean is {grey.mean():.2f}, as it should be: {2003 / 4095 * 255:.2f}; the pattern's upper half:")
print(grey[:4, :8])
others = {kind: levels(frame.to_ndarray(format=kind)) for kind in ("rgb24", "gray16le")}
colour = frame.to_ndarray(format="yuv420p")[64:]
print("to rgb24 and gray16le:", others, "colour of yuv420p:", levels(colour))
seen = {
    "an even grey has two levels": all(len(counts) == 2 for counts in found.values()),
    "a quarter of the pixels of 2003 is 124, the others 125": found["12 bits, 2003"] == {124: 1024, 125: 3072},
    "in a pattern of 8 x 8": np.array_equal(grey, np.tile(grey[:8, :8], (8, 8))),
    "which is the same in the next frame": np.array_equal(grey, even(2003, "gray12le").to_ndarray(format="gray")),
    "reformat does likewise": np.array_equal(grey, frame.reformat(format="gray").to_ndarray()),
    "the colour of yuv420p is dithered": len(levels(colour)) == 2,
    "rgb24 and gray16le are even": all(len(counts) == 1 for counts in others.values()),
    "the mean is kept": abs(grey.mean() - 2003 / 4095 * 255) < 0.1,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
