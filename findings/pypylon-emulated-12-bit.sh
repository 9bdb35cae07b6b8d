#!/usr/bin/env bash
# Basler's emulated camera sends 8-bit content in its 12-bit formats, ignores exposure and stamps every frame 0.
#
# Version:  pypylon 26.9, PYLON_CAMEMU=1
# Expected: An emulated camera that offers Mono12 fills 12 bits; a longer exposure makes a brighter picture; TimeStamp
#           advances.
# Seen:     Mono10, Mono12 and Mono16 hold the same 8 bits, shifted: the low 4 bits of every Mono12 pixel are 0.
#           Exposure from 1 ms to 100 ms is accepted and read back, and changes no pixel. TimeStamp is 0 in every frame.
# Costs:    A test against the emulator passes for code that throws the low bits away, that never sets the exposure, and
#           that cannot tell an old frame from a new one.
# Instead:  Feed 12-bit pictures of one's own (ImageFilename), and test freshness and exposure against a fake of one's
#           own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 pypylon==26.9
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys

os.environ["PYLON_CAMEMU"] = "1"
import numpy as np
from pypylon import pylon

camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateFirstDevice())
camera.Open()
camera.Width.Value, camera.Height.Value = 256, 64


def grab(pixel_format, exposure=10_000.0):
    camera.PixelFormat.Value = pixel_format
    camera.ExposureTime.Value = exposure
    result = camera.GrabOne(2000)
    assert result.GrabSucceeded()
    return result.Array.copy(), result.TimeStamp, camera.ExposureTime.Value


pictures = {name: grab(name)[0] for name in ("Mono8", "Mono10", "Mono12", "Mono16")}
for name, picture in pictures.items():
    print(f"{name}: {picture.dtype}, {picture.min()} to {picture.max()}, {len(np.unique(picture))} levels")
short, long = grab("Mono12", 1_000.0), grab("Mono12", 100_000.0)
print(
    "exposure",
    short[2],
    "and",
    long[2],
    "µs: means",
    short[0].mean(),
    "and",
    long[0].mean(),
    "; stamps",
    short[1],
    long[1],
)
camera.Close()
seen = {
    f"{name} is Mono8 times {factor}": np.array_equal(pictures[name], pictures["Mono8"].astype(np.uint16) * factor)
    for name, factor in (("Mono10", 4), ("Mono12", 16), ("Mono16", 256))
}
seen["exposure is accepted and does nothing"] = long[2] > 50 * short[2] and np.array_equal(short[0], long[0])
seen["time stamps are 0"] = short[1] == long[1] == 0

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
