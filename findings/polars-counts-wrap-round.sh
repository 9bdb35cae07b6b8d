#!/usr/bin/env bash
# Polars: 2 good parts less 5 bad ones are 4,294,967,293.
#
# Version:  polars 2.1.0, beside DuckDB 2.0.1 and PyArrow 26.0.1
# Expected: Counts can be subtracted, and a sum of integers is an integer: DuckDB answers -3 and 4,000,000,000, PyArrow
#           sums in int64.
# Seen:     len(), count(), n_unique() and the sum of booleans are UInt32: their difference wraps round, in select and
#           group_by alike, and so does pl.len() - 10 of 7 rows. The sum of an Int32 column is Int32 again: 2,000,000,000
#           twice is -294,967,296, of UInt32 3,000,000,000 twice 1,705,032,704 - no error, no null. The documentation of
#           sum says that Int8 to UInt16 are widened; of 32 bits it says nothing. The mean of the same column is right,
#           and so is diff().
# Costs:    A line's balance "good - bad" is four thousand million on a bad day, and passes every alarm "< 0". A day's
#           latencies in microseconds or bytes written, stored as 32-bit integers to save room, sum to something
#           plausible.
# Instead:  .cast(pl.Int64) before every sum and difference.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

parts = pl.DataFrame({"line": [1] * 7, "good": [True, True, False, False, False, False, False]})
good, bad = pl.col("good").sum(), (~pl.col("good")).sum()
lots = parts.to_arrow()
balance = {
    "select": parts.select(good - bad).item(),
    "group_by": parts.group_by("line").agg(balance=good - bad)["balance"].item(),
    "len() - 10": parts.select(pl.len() - 10).item(),
    "cast": parts.select(good.cast(pl.Int64) - bad.cast(pl.Int64)).item(),
    "DuckDB": duckdb.execute("SELECT count(*) FILTER (good) - count(*) FILTER (NOT good) FROM lots").fetchone()[0],
}
print("2 good less 5 bad, and 7 parts less 10:", balance)
sums = {}
for kind, value in ((pl.Int32, 2_000_000_000), (pl.UInt32, 3_000_000_000), (pl.Int16, 30_000)):
    column = pl.Series("n", [value, value], dtype=kind)
    arrow = pa.table({"n": column.to_arrow()})
    sums[str(kind)] = [
        column.sum(),
        column.mean(),
        column.cast(pl.Int64).sum(),
        pc.sum(arrow["n"]).as_py(),
        int(duckdb.execute("SELECT sum(n) FROM arrow").fetchone()[0]),
    ]
    print(f"{kind}, {value} twice: sum, mean, sum as Int64, PyArrow, DuckDB: {sums[str(kind)]}")
seen = {
    "differences of counts wrap round": (balance["select"], balance["group_by"], balance["len() - 10"])
    == (2**32 - 3, 2**32 - 3, 2**32 - 3),
    "cast, or in DuckDB, they do not": balance["cast"] == balance["DuckDB"] == -3,
    "sums of 32 bits wrap round": (sums["Int32"][0], sums["UInt32"][0]) == (4 * 10**9 - 2**32, 6 * 10**9 - 2**32),
    "the mean, Int64, PyArrow and DuckDB are right": sums["Int32"][1:] == [2e9, *[4 * 10**9] * 3]
    and sums["UInt32"][1:] == [3e9, *[6 * 10**9] * 3],
    "a sum of Int16 is right": sums["Int16"][0] == 60_000,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
