#!/usr/bin/env bash
# A NaN in a Parquet file passes the filter "score <= 10", and is not found by isnan.
#
# Version:  DuckDB 2.0.1 and PyArrow 26.0.1; the file written by PyArrow with its statistics, as it does by itself
# Expected: A filter gives the same rows from a file as from a table in memory. DuckDB holds NaN to be the greatest
#           number, so "score > 10" finds it.
# Seen:     The statistics of a row group state the least and the greatest number *without* NaN, and the filter is
#           decided by them: from the file, score <= 10 returns the NaN row, while score > 10 and isnan(score) return
#           nothing. From memory, and from a file that DuckDB wrote itself, it is the other way round. PyArrow's own
#           filter "not (score <= 10)" finds the row in memory and not in the file.
# Costs:    The report of parts below the reject threshold counts those whose score was not a number as good, and the
#           query for faults finds none.
# Instead:  Never store NaN as a number: NULL and a column that says why; or write_statistics=False for such columns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

table = pa.table({"part": [1, 2, 3, 4], "score": [0.5, float("nan"), 0.7, 0.6]})
pq.write_table(table, "arrow.parquet")
pq.write_table(table, "plain.parquet", write_statistics=False)
database = duckdb.connect()
database.register("memory", table)
database.execute("COPY (SELECT * FROM memory) TO 'duck.parquet'")


def parts(source, where):
    return database.execute(f"SELECT coalesce(list(part ORDER BY part), []) FROM {source} WHERE {where}").fetchone()[0]


found = {}
for where in ("score <= 10", "score > 10", "isnan(score)"):
    for source in ("memory", "'duck.parquet'", "'plain.parquet'", "'arrow.parquet'"):
        found[source, where] = parts(source, where)
        print(f"{where:14} {source:16} parts {found[source, where]}")
rejected = ~(pc.field("score") <= 10)
in_memory = table.filter(rejected)["part"].to_pylist()
in_file = pq.read_table("arrow.parquet", filters=rejected)["part"].to_pylist()
print("PyArrow, not (score <= 10): in memory", in_memory, "in the file", in_file)
right = [[1, 3, 4], [2], [2]]
wheres = ("score <= 10", "score > 10", "isnan(score)")
seen = {
    "in memory the NaN is above 10": [found["memory", where] for where in wheres] == right,
    "and in files of DuckDB or without statistics": all(
        found[source, where] == answer
        for source in ("'duck.parquet'", "'plain.parquet'")
        for where, answer in zip(wheres, right)
    ),
    "in PyArrow's file it is at most 10": [found["'arrow.parquet'", where] for where in wheres]
    == [[1, 2, 3, 4], [], []],
    "PyArrow's own filter loses it in the file": (in_memory, in_file) == ([2], []),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
