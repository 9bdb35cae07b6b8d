#!/usr/bin/env bash
# LedoitWolf does not shrink at all with two samples, and a covariance without shrinkage is blind off the samples' span.
#
# Version:  scikit-learn 1.9.1
# Expected: The fewer the samples, the stronger the shrinkage: 50 features and two samples give nearly the scaled
#           identity. A Mahalanobis distance is large far from all samples.
# Seen:     shrinkage_ is 0 for one and for two samples, 0.3 for three, and rises from there. The precision is then a
#           pseudo-inverse of rank 1: off the line through the two samples the squared distance of any point is 0, or
#           NaN where rounding made it negative. EmpiricalCovariance does so for any channel that never varied in
#           training: a thousand there adds nothing.
# Costs:    A detector fitted on a first few pictures (a small batch, a new product) calls everything normal, without an
#           error.
# Instead:  Refuse fewer than three samples, look at shrinkage_, and give constant channels a floor of variance.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

random = np.random.default_rng(0)
warnings.simplefilter("ignore")  # "Only one sample available": there is none for two
shrinkage = {}
for samples in (1, 2, 3, 5, 20):
    shrinkage[samples] = float(LedoitWolf().fit(random.standard_normal((samples, 50))).shrinkage_)
print("shrinkage by samples:", {n: round(s, 3) for n, s in shrinkage.items()})
two = random.standard_normal((2, 50))
axis = (two[1] - two[0]) / np.linalg.norm(two[1] - two[0])
away = random.standard_normal(50)
away -= away @ axis * axis
fitted = LedoitWolf().fit(two)
with np.errstate(all="ignore"):
    blind = float(fitted.mahalanobis([two.mean(0) + 1e3 * away])[0])
print(
    f"two samples: squared distance of a point {1e3 * np.linalg.norm(away):.0f} away {blind:.1e}, of the samples",
    fitted.mahalanobis(two),
)
constant = random.standard_normal((200, 10))
constant[:, 0] = 5.0
empirical = EmpiricalCovariance().fit(constant)
strange = constant.mean(0)
strange[0] += 1000
unseen = float(empirical.mahalanobis([strange])[0])
print(
    f"a constant channel off by 1000: {unseen:.1e}; the training samples: {empirical.mahalanobis(constant).mean():.1f}"
)
seen = {
    "no shrinkage with one or two samples": abs(shrinkage[1]) < 1e-9 and abs(shrinkage[2]) < 1e-9,
    "some with three, more with five": 0.05 < shrinkage[3] < shrinkage[5],
    "two samples: blind off their line": not abs(blind) > 1e-6,
    "a constant channel is not looked at": abs(unseen) < 1e-6,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
