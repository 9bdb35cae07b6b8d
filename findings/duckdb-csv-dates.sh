#!/usr/bin/env bash
# DuckDB reads 01.02.26 as 26 February 2001, and 01/02/2026 by what other days are in the file.
#
# Version:  DuckDB 2.0.1, read_csv as it comes
# Expected: A date that can be read in several ways stays text, or is read in one fixed way, or there is an error.
# Seen:     The sniffer takes one of the formats that fit all rows of its sample, without a word. Two-digit years come
#           first: 01.02.26 is 26 February 2001, and 31.12.26 26 December 2031, in every file of such dates. With
#           four-digit years days come first while they fit: 03/04/2026 is 3 April, and 4 March as soon as another row
#           of the file is 03/25/2026.
# Costs:    Reports with short German dates are off by up to 25 years, and a query for this week finds nothing. American
#           ones are right, but for those of a month's first twelve days: the same row of the same report, read on the
#           12th and on the 13th, has two dates.
# Instead:  read_csv(..., dateformat='%d.%m.%y'); write ISO dates; ask sniff_csv() what it would take.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check duckdb==2.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import pathlib
import sys

import duckdb


def read(*days, option=""):
    """The dates of a report with these days, as they come back."""
    path = pathlib.Path("report.csv")
    path.write_text("part,day,score\n" + "".join(f"{part},{day},0.5\n" for part, day in enumerate(days)))
    rows = duckdb.sql(f"SELECT day FROM read_csv('{path}'{option}) ORDER BY part").fetchall()
    dates = [str(day) for (day,) in rows]
    print(f"{days} {option}: {dates}")
    return dates


seen = {
    "two-digit years: the day is taken for the year": read("01.02.26", "03.04.26") == ["2001-02-26", "2003-04-26"],
    "even at the month's end": read("30.11.26", "31.12.26") == ["2030-11-26", "2031-12-26"],
    "told the format, it is right": read("01.02.26", option=", dateformat='%d.%m.%y'") == ["2026-02-01"],
    "01/02/2026 is in February": read("01/02/2026", "03/04/2026") == ["2026-02-01", "2026-04-03"],
    "and in January beside 03/25/2026": read("01/02/2026", "03/04/2026", "03/25/2026")[:2]
    == ["2026-01-02", "2026-03-04"],
    "ISO dates are themselves": read("2026-02-01", "2026-04-03") == ["2026-02-01", "2026-04-03"],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
