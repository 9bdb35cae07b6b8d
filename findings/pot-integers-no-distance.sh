#!/usr/bin/env bash
# The Wasserstein distance of POT between two samples of integers is 0, whatever they are.
#
# Version:  POT 0.9.7.post1, ot.wasserstein_1d, NumPy 2.4.6, beside scipy 1.17.1
# Expected: The distance of [0, 10, 20] and [5, 5, 255] is 81.67, as it is for floats, in SciPy, and from ot.emd2_1d;
#           or integers are refused, or warned of as in ot.emd.
# Seen:     0 for uint8, uint16, int32 and int64, without a warning: each sample weighs 1 / 3, and the weights are made
#           in the samples' own type. Grey levels of a dark and of a bright picture are 0 apart. With weights given as
#           floats it is right for the signed types and wraps round for the others: 144 instead of 30.
# Costs:    Drift of grey levels, of counts or of scores in integers is watched with this number: it says for ever that
#           nothing has moved, which is what one hopes to see.
# Instead:  .astype(float) before; or scipy.stats.wasserstein_distance.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 POT==0.9.7.post1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
import ot
from scipy.stats import wasserstein_distance

warnings.simplefilter("error")
samples = [0, 10, 20], [5, 5, 255]
thirds = np.full(3, 1 / 3)
right = wasserstein_distance(*samples)
print(f"SciPy: {right:.4f}")
distances = {}
for kind in ("uint8", "uint16", "int32", "int64", "float32", "float64"):
    first, second = (np.array(sample, kind) for sample in samples)
    distances[kind] = float(ot.wasserstein_1d(first, second))
    print(f"POT, {kind}: {distances[kind]:.4f}")
random = np.random.default_rng(0)
dark, bright = (random.normal(mean, 10, 10_000).clip(0, 255).astype(np.uint8) for mean in (60, 200))
levels = float(ot.wasserstein_1d(dark, bright))
floats = float(ot.wasserstein_1d(dark.astype(float), bright.astype(float)))
print(f"grey levels around 60 and 200: {levels}, as floats {floats:.1f}")
weighed = float(ot.wasserstein_1d(*(np.array(sample, np.int64) for sample in samples), thirds, thirds))
wrapped = float(ot.wasserstein_1d(np.array([0, 10, 20], np.uint8), np.array([5, 5, 100], np.uint8), thirds, thirds))
unwrapped = float(ot.wasserstein_1d(np.array([0.0, 10, 20]), np.array([5.0, 5, 100]), thirds, thirds))
print(f"uint8 with weights: {wrapped:.4f}, as floats {unwrapped:.4f}")
flow = float(ot.emd2_1d(*(np.array(sample, np.int64) for sample in samples), metric="cityblock"))
print(f"int64 with weights: {weighed:.4f}, ot.emd2_1d: {flow:.4f}")
seen = {
    "integers of every type are 0 apart": all(not distances[kind] for kind in distances if "int" in kind),
    "floats are right": all(abs(distances[kind] - right) < 1e-3 for kind in ("float32", "float64")),
    "a dark and a bright picture are 0 apart as uint8, 140 as floats": levels == 0 and 139 < floats < 141,
    "with weights it is right for int64": abs(weighed - right) < 1e-6,
    "for uint8 it wraps round": wrapped > 140 and abs(unwrapped - 30) < 1e-6,
    "right, too, is ot.emd2_1d without": abs(flow - right) < 1e-6,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
