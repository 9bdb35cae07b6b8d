#!/usr/bin/env bash
# A NumPy float32 or int64 goes into SQLite as four or eight raw bytes, and lies above every threshold.
#
# Version:  Python 3.11's sqlite3 (and later ones), NumPy 2.4.6
# Expected: A score of type numpy.float32 becomes a REAL, or the insert is refused. The column is declared REAL.
# Seen:     sqlite3 takes whatever offers its memory (the buffer protocol) for bytes: what is stored is a BLOB, whatever
#           the column's type. SQLite orders every BLOB above every number: score > 1e300 finds all parts, score <=
#           1e300 none, and sum, avg and total are 0. Counters of type numpy.int64 are stored so too, and never equal a
#           number. numpy.float64 is a subclass of float and goes in rightly, so the same code with float64 scores
#           passes.
# Costs:    Models give float32: a yield that is counted by a query rejects every part, and a mean score of 0 looks
#           quiet. The table shows it to nobody who does not ask for typeof(score).
# Instead:  float(score), array.tolist(); or CREATE TABLE ... STRICT, which refuses the bytes; or
#           sqlite3.register_adapter(numpy.float32, float) and the same for integers with int.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sqlite3
import sys

import numpy as np

SCORES = [0.1, 0.5, 0.9]
connection = sqlite3.connect(":memory:")


def stored(kind, strict=""):
    """Scores of one NumPy type and counters of int64, written into a new table."""
    connection.execute("DROP TABLE IF EXISTS parts")
    connection.execute(f"CREATE TABLE parts (number INTEGER, score REAL) {strict}")
    rows = [(np.int64(number), kind(score)) for number, score in enumerate(SCORES)]
    connection.executemany("INSERT INTO parts VALUES (?, ?)", rows)


def ask(query):
    return connection.execute(f"SELECT {query}").fetchone()[0]


answers = {}
for kind in (np.float32, np.float64):
    stored(kind)
    answers[kind] = {
        "type": ask("group_concat(DISTINCT typeof(score)) FROM parts"),
        "above 0.6": ask("count(*) FROM parts WHERE score > 0.6"),
        "above 1e300": ask("count(*) FROM parts WHERE score > 1e300"),
        "up to 1e300": ask("count(*) FROM parts WHERE score <= 1e300"),
        "mean": ask("avg(score) FROM parts"),
        "number = 1": ask("count(*) FROM parts WHERE number = 1"),
    }
    print(f"{kind.__name__}: {answers[kind]}")
single, double = answers[np.float32], answers[np.float64]
try:
    stored(np.float32, "STRICT")
    refusal = ""
except sqlite3.IntegrityError as error:
    refusal = str(error)
print("STRICT:", refusal)
sqlite3.register_adapter(np.float32, float)
sqlite3.register_adapter(np.int64, int)
stored(np.float32)
mended = ask("count(*) FROM parts WHERE score > 0.6 AND number = 2")
seen = {
    "float32 is stored as bytes": single["type"] == "blob",
    "it lies above every threshold": (single["above 1e300"], single["up to 1e300"]) == (3, 0),
    "its mean is 0": single["mean"] == 0,
    "an int64 equals no number": single["number = 1"] == double["number = 1"] == 0,
    "float64 is right": (double["type"], double["above 0.6"], double["mean"]) == ("real", 1, 0.5),
    "a STRICT table refuses": "BLOB" in refusal,
    "adapters mend it": mended == 1,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
