#!/usr/bin/env bash
# A Zarr array that was cut short and grown again shows its old values, up to the end of the chunk.
#
# Version:  zarr 3.1.6, formats 2 and 3, with and without shards; beside h5py 3.16.0, NumPy 2.4.6
# Expected: What is cut off is gone: grown again, the array holds the fill value there, as in HDF5.
# Seen:     resize drops the chunks that lie wholly outside, and leaves the one that is cut through as it is. Ten values
#           in chunks of four, cut to five and grown to ten, are the first eight as before, and two of the fill value.
#           In one chunk all ten are back. It is so after the store was opened anew; append overwrites what it adds, and
#           no more. Cut to nothing first, all is the fill value.
# Costs:    Scores of a shift that was taken back appear as scores of parts that were never looked at, where NaN would
#           have said so; how many depends on the size of chunks, and tests with small ones or with whole chunks pass.
# Instead:  Write the fill value to array[new:] before cutting; or resize to nothing and write anew.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 zarr==3.1.6 h5py==3.16.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import h5py
import numpy as np
import zarr

warnings.simplefilter("error")
VALUES = np.arange(10, dtype=np.float32)
NAN = float("nan")


def make(chunk, **options):
    """An array of 0 to 9, cut to five values, in a store that is opened anew."""
    array = zarr.create_array(
        "store", shape=(10,), chunks=(chunk,), dtype="f4", fill_value=NAN, overwrite=True, **options
    )
    array[:] = VALUES
    array.resize((5,))
    return zarr.open_array("store", mode="r+")


def grown(chunk, **options):
    array = make(chunk, **options)
    array.resize((10,))
    return array[:]


def left(kept):
    """The first values as they were, NaN behind."""
    return np.where(np.arange(10) < kept, VALUES, NAN)


def same(first, second):
    return np.array_equal(first, second, equal_nan=True)


with h5py.File("file.h5", "w") as file:
    data = file.create_dataset("scores", data=VALUES, chunks=(4,), maxshape=(None,), fillvalue=NAN)
    data.resize((5,))
    data.resize((10,))
    hdf5 = data[:]
print("HDF5, chunks of 4:", hdf5)
results = {
    (chunk, zarr_format): grown(chunk, zarr_format=zarr_format) for chunk in (4, 5, 10, 100) for zarr_format in (2, 3)
}
for (chunk, zarr_format), result in results.items():
    print(f"Zarr, format {zarr_format}, chunks of {chunk}:", result)
sharded = grown(4, shards=(8,))
array = make(10)
array.append(np.array([50], np.float32))
array.resize((10,))
appended = array[:]
print("appended to and grown, chunks of 10:", appended)
array = make(10)
array.resize((0,))
array.resize((10,))
emptied = array[:]
array = make(10)
array.resize((10,))
array[5:] = NAN
array.resize((5,))
array.resize((10,))
cleared = array[:]
seen = {
    "HDF5 has the fill value behind the fifth": same(hdf5, left(5)),
    "chunks of 4: the first eight are back": all(same(results[4, number], left(8)) for number in (2, 3)),
    "chunks of 10 and 100: all ten are": all(
        same(results[size, number], VALUES) for size in (10, 100) for number in (2, 3)
    ),
    "chunks of 5: none is": all(same(results[5, number], left(5)) for number in (2, 3)),
    "with shards too": same(sharded, left(8)),
    "append overwrites one": same(appended, np.where(np.arange(10) == 5, 50, VALUES)),
    "cut to nothing, all is the fill value": same(emptied, left(0)),
    "filled before it was cut, it stays so": same(cleared, left(5)),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
