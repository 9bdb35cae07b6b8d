#!/usr/bin/env bash
# safetensors stores a numpy array that is not in C order with its values in other places.
#
# Version:  safetensors 0.8.0 beside 0.7.0, safetensors.numpy
# Expected: save and load give the array that was saved, as in 0.7.0 and in numpy.save; or ValueError, as for a torch
#           tensor that is not contiguous.
# Seen:     A transposed array, one in Fortran order and a slice with a step come back with the right shape and dtype and
#           other values: the memory behind the pointer is written as it lies. Known since August 2026, issue 825 of
#           safetensors; no release with a repair yet.
# Costs:    SciPy gives Fortran order without saying so (cholesky, eigh, svd, pinv), as does scikit-learn's PCA, and any
#           `.T`: a covariance survives, being symmetric, the factor or the eigenvectors beside it do not. Scores stay
#           finite and plausible.
# Instead:  numpy.ascontiguousarray of each array, or compare after loading.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/save.py" <<'PY'
import json

import numpy as np
import safetensors.numpy
import scipy.linalg

matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
covariance = np.cov(rows, rowvar=False)
arrays = {
    "C order": matrix,
    "transposed": matrix.T,
    "Fortran order": np.asfortranarray(matrix),
    "every other column": matrix[:, ::2],
    "covariance": covariance,
    "its Cholesky factor": scipy.linalg.cholesky(covariance, lower=True),
    "its eigenvectors": scipy.linalg.eigh(covariance)[1],
    "ascontiguousarray": np.ascontiguousarray(matrix.T),
}
same = {}
for name, array in arrays.items():
    back = safetensors.numpy.load(safetensors.numpy.save({"x": array}))["x"]
    safetensors.numpy.save_file({"x": array}, "file.safetensors")
    file = safetensors.numpy.load_file("file.safetensors")["x"]
    assert back.shape == file.shape == array.shape and back.dtype == file.dtype == array.dtype
    same[name] = bool(np.array_equal(back, array) and np.array_equal(file, array))
print(json.dumps(same))
PY
cd "$work"
for version in 0.7.0 0.8.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 "safetensors==$version"
    "$work/$version/bin/python" save.py > "$version.json"
done
python3 - <<'PY'
import json
import sys

found = {}
for version in ("0.7.0", "0.8.0"):
    with open(f"{version}.json") as file:
        found[version] = json.load(file)
    print(version, "gives back what was saved:", found[version])
right = ("C order", "covariance", "ascontiguousarray")
seen = {
    "0.7.0 gives back every array": all(found["0.7.0"].values()),
    "0.8.0 gives back those in C order": all(found["0.8.0"][name] for name in right),
    "0.8.0 gives back no other": not any(same for name, same in found["0.8.0"].items() if name not in right),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
