#!/usr/bin/env bash
# DuckDB counts other parts below a threshold when it is written into the query than when it is bound as a parameter.
#
# Version:  DuckDB 2.0.1, a column of type FLOAT (float32), Python client
# Expected: "score <= 0.3" and "score <= ?" with 0.3 are one question. As in PostgreSQL, NumPy 1 or C, a float32 is
#           compared with 0.3 as double: the stored 0.3 is 0.30000001192 and lies above.
# Seen:     The literal is a DECIMAL and is narrowed to FLOAT: the part at the limit counts as below. The parameter is a
#           DOUBLE and the column is widened: it counts as above. score = 0.1 finds the part, score = ? does not. In a
#           column of doubles both agree.
# Costs:    A report and a program that count rejects by the same number differ by the parts that lie on it: scores are
#           float32, and thresholds are often picked from among them.
# Instead:  Cast on both sides, score::DOUBLE <= 0.3::DOUBLE, or bind ?::FLOAT; or store scores as DOUBLE.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check duckdb==2.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import duckdb

connection = duckdb.connect()
tenths = [tenth / 10 for tenth in range(11)]
counts = {}
for kind in ("FLOAT", "DOUBLE"):
    connection.execute(f"CREATE TABLE {kind}_parts (score {kind})")
    connection.executemany(f"INSERT INTO {kind}_parts VALUES (?)", [[score] for score in tenths])
    for relation in ("<=", "="):
        for limit in (0.1, 0.3):
            query = f"SELECT count(*) FROM {kind}_parts WHERE score {relation}"
            written = connection.execute(f"{query} {limit}").fetchone()[0]
            bound = connection.execute(f"{query} ?", [limit]).fetchone()[0]
            cast = connection.execute(f"{query} ?::FLOAT", [limit]).fetchone()[0]
            counts[kind, relation, limit] = written, bound, cast
            print(f"{kind} score {relation} {limit}: written {written}, bound {bound}, bound as ?::FLOAT {cast}")
seen = {
    "FLOAT, written: the part at the limit counts": [counts["FLOAT", "<=", limit][0] for limit in (0.1, 0.3)] == [2, 4],
    "FLOAT, bound: it does not": [counts["FLOAT", "<=", limit][1] for limit in (0.1, 0.3)] == [1, 3],
    "FLOAT, equality: found written, not found bound": counts["FLOAT", "=", 0.1][:2] == (1, 0),
    "?::FLOAT is as written": all(found[0] == found[2] for key, found in counts.items() if key[0] == "FLOAT"),
    "DOUBLE: both agree": all(found[0] == found[1] for key, found in counts.items() if key[0] == "DOUBLE"),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
