#!/usr/bin/env bash
# A NaN in HDF5's scale-offset filter becomes the smallest value of its chunk, or makes the chunk unreadable.
#
# Version:  h5py 3.16.0 (HDF5 2.0.0), create_dataset(..., scaleoffset=2); NumPy 2.4.6
# Expected: NaN is kept, as infinity is (such a chunk is stored unfiltered), or refused when it is written. h5py's pages
#           say that this filter does not keep NaN.
# Seen:     NaN somewhere in the chunk comes back as the least number there. As first value of a float32 chunk, or in a
#           chunk of nothing else, it is written without an error, and reading raises OSError for ever after: the other
#           values are gone too. Of float64 that chunk is stored unfiltered and right. fillvalue=NaN changes nothing. As
#           long as the file stays open all comes back exact, NaN and digits alike, from the cache of chunks.
# Costs:    In an archive of anomaly maps NaN says that nothing was looked at: a masked border, a lost tile. It comes
#           back as the quietest place of the map; or, since the border's first pixel is the map's, not at all. A test
#           that reads back what it has just written passes.
# Instead:  float16, or integers with a value of their own for "not seen"; or a second data set for the mask. Close and
#           open again before comparing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 h5py==3.16.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import h5py
import numpy as np

warnings.simplefilter("error")
random = np.random.default_rng(0)


def maps(kind):
    """A map of 1 to 6 with NaN at one place, in its first row, everywhere; with infinity; as it is."""
    plain = random.uniform(1, 6, (64, 64)).astype(kind)
    made = {name: plain.copy() for name in ("plain", "inside", "first row", "all", "infinity")}
    made["inside"][40, 40] = made["first row"][0] = made["all"][:] = np.nan
    made["infinity"][40, 40] = np.inf
    return made


def store(path, values, **options):
    """Whether all comes back exact while the file is open, and what does after it was opened again."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("map", data=values, chunks=values.shape, scaleoffset=2, **options)
        exact = np.array_equal(data[:], values, equal_nan=True)
    with h5py.File(path) as file:
        try:
            return exact, file["map"][:]
        except OSError as error:
            return exact, f"OSError: {error}"


seen = {}
for kind in ("float32", "float64"):
    made = maps(kind)
    back = {}
    for name, values in made.items():
        exact, back[name] = store("map.h5", values)
        seen[f"{kind}, {name}: exact while the file is open"] = exact
        result = back[name] if isinstance(back[name], str) else f"{np.isnan(back[name]).sum()} NaN"
        print(f"{kind}, {name}: {np.isnan(values).sum()} NaN written; opened again: {result}")
    others = np.isfinite(made["inside"])
    least = made["inside"][others].min()
    print(f"{kind}: the NaN inside is now {back['inside'][40, 40]:.4f}, the least value is {least:.4f}")
    seen[f"{kind}: opened again, a map without NaN is right to 0.005"] = (
        np.abs(back["plain"] - made["plain"]).max() < 0.0051
    )
    seen[f"{kind}: a NaN is the least value"] = (
        back["inside"][40, 40] == least and np.abs(back["inside"] - made["inside"])[others].max() < 0.0051
    )
    seen[f"{kind}: with fillvalue=NaN too"] = (
        store("map.h5", made["inside"], fillvalue=np.nan)[1][40, 40] == least
    )
    seen[f"{kind}: infinity is kept"] = np.array_equal(back["infinity"], made["infinity"])
    for name in ("first row", "all"):
        if kind == "float32":
            seen[f"{kind}, {name}: cannot be read any more"] = isinstance(back[name], str)
        else:
            seen[f"{kind}, {name}: right"] = np.array_equal(back[name], made[name], equal_nan=True)

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
