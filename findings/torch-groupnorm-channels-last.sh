#!/usr/bin/env bash
# GroupNorm of the same numbers is wrong by hundreds in torch's channels_last layout, on a processor.
#
# Version:  torch 2.15.0, CPU, float32
# Expected: memory_format changes speed, not results: group_norm of one tensor in either layout agrees to float32's
#           rounding.
# Seen:     Values of 300 with a standard deviation of 0.1: contiguous, the normalised values are right to 0.001; in
#           channels_last they are off by more than 100, where the right ones lie within +-6. At 100 +- 0.5 the errors
#           are 1e-5 and 0.1. That is what a variance taken as mean of squares less square of mean gives: the difference
#           of two large numbers comes out as 0, and the root of eps is all that is divided by. No NaN, no warning.
#           batch_norm and instance_norm are right in both layouts.
# Costs:    model.to(memory_format=torch.channels_last), the usual advice for convolutions on processors, turns features
#           with a large mean (bright, even pictures) into noise; without that line the same model is right.
# Instead:  x.contiguous() before group_norm, or float64 in there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import torch
from torch.nn.functional import batch_norm, group_norm, instance_norm

NORMS = {
    "group_norm": lambda x: group_norm(x, 8),
    "batch_norm": lambda x: batch_norm(x, None, None, training=True),
    "instance_norm": instance_norm,
}
torch.manual_seed(0)
noise = torch.randn(2, 32, 56, 56, dtype=torch.float64)
errors = {}
for mean, deviation in ((0, 1.0), (100, 0.5), (300, 0.1)):
    x = (mean + deviation * noise).float()
    for name, norm in NORMS.items():
        exact = norm(x.double())
        layouts = (x, x.to(memory_format=torch.channels_last))
        errors[name, mean] = [float((norm(layout) - exact).abs().max()) for layout in layouts]
        print(
            f"{mean} +- {deviation}, {name}: largest error contiguous {errors[name, mean][0]:.1g}, channels_last"
            f" {errors[name, mean][1]:.1g}; largest value {exact.abs().max():.1f}"
        )
seen = {
    "around 0 both layouts are right": max(errors["group_norm", 0]) < 1e-4,
    "contiguous it stays right": errors["group_norm", 100][0] < 1e-3 and errors["group_norm", 300][0] < 1e-2,
    "channels_last is off by 0.01 and more at 100 +- 0.5": errors["group_norm", 100][1] > 0.01,
    "and by 10 and more at 300 +- 0.1": errors["group_norm", 300][1] > 10,
    "the other two are right in both layouts": max(max(errors[n, 300]) for n in ("batch_norm", "instance_norm")) < 0.05,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
