#!/usr/bin/env bash
# On the day the clocks go back, DuckDB's date_trunc('hour') gives an hour that has not begun, and counts two as one.
#
# Version:  DuckDB 2.0.1 with its ICU extension, as its Python wheel brings it, TimeZone = 'Europe/Berlin'
# Expected: date_trunc never gives a later instant than its argument: 02:30+02:00 on 2026-10-25 belongs to the hour that
#           began at 02:00+02:00, the hour after it, also shown as 2 o'clock, to 02:00+01:00.
# Seen:     Both become 02:00+01:00, for the first an instant half an hour ahead. A count by hour has one hour of double
#           size and 24 rows instead of 25. date_diff('hour') between 02:30+02:00 and 02:30+01:00 is 0 where
#           date_diff('minute') is 60. date_trunc('minute') and time_bucket(INTERVAL 1 HOUR) are right, and so is
#           date_trunc('hour') with the time zone at UTC.
# Costs:    Parts, scrap and standstills by hour of one night shift a year: twice the parts in an hour, and a gap before
#           it. Joined with an hourly table of another program, the parts of one hour are missing.
# Instead:  time_bucket(INTERVAL 1 HOUR, t), or SET TimeZone = 'UTC' for all grouping.
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
connection.execute("SET TimeZone = 'Europe/Berlin'")
# A part each minute of the whole local day, which has 25 hours.
connection.execute(
    "CREATE TABLE parts AS SELECT unnest(generate_series(TIMESTAMPTZ '2026-10-25 00:00:00+02:00',"
    " TIMESTAMPTZ '2026-10-25 23:59:00+01:00', INTERVAL 1 MINUTE)) AS t"
)


def value(query):
    return connection.execute(f"SELECT {query}").fetchone()[0]


def by_hour(expression):
    """Parts in each group, and the parts whose group begins after them."""
    groups = connection.execute(f"SELECT count(*) FROM parts GROUP BY {expression}").fetchall()
    return sorted({count for (count,) in groups}), len(groups), value(f"count(*) FROM parts WHERE {expression} > t")


first, second = "TIMESTAMPTZ '2026-10-25 02:30:00+02:00'", "TIMESTAMPTZ '2026-10-25 02:30:00+01:00'"
trunc, bucket = by_hour("date_trunc('hour', t)"), by_hour("time_bucket(INTERVAL 1 HOUR, t)")
minute = by_hour("date_trunc('minute', t)")
seconds = value(f"epoch(date_trunc('hour', {first})) - epoch({first})")
apart = value(f"date_diff('hour', {first}, {second})"), value(f"date_diff('minute', {first}, {second})")
connection.execute("SET TimeZone = 'UTC'")
utc = by_hour("date_trunc('hour', t)")
print("sizes of groups, groups, parts before their group begins")
for name, found in (("date_trunc hour", trunc), ("time_bucket", bucket), ("date_trunc minute", minute), ("UTC", utc)):
    print(f"{name}: {found}")
print("date_trunc of 02:30+02:00 lies", seconds, "s after its argument; date_diff hour, minute:", apart)
seen = {
    "the hour begins half an hour after what lies in it": seconds == 1800,
    "one hour has 120 parts, and there are 24": trunc[:2] == ([60, 120], 24),
    "60 parts come before their hour": trunc[2] == 60,
    "0 hours apart are 60 minutes": apart == (0, 60),
    "time_bucket is right": bucket == ([60], 25, 0),
    "date_trunc to minutes is right": minute == ([1], 1500, 0),
    "in UTC it is right": utc == ([60], 25, 0),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
