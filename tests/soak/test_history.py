"""Ten million results of five lines and twenty days: what was counted, how fast, in how much memory.

`pytest -m soak -s tests/soak/test_history.py` prints what was measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.history.store import Store

pytestmark = pytest.mark.soak
LINES, DAYS, FILES, ROWS = 5, 20, 5, 20_000
FIRST = date(2026, 3, 1)
HOURS = 24 // FILES
MOST_BYTES = 1 << 30
A_DAY_S, ALL_S = 2.0, 10.0
"""On two cores that are free."""


def record(number: int) -> dict[str, Any]:
    """The n-th of a file, which lasts `HOURS` hours: every fiftieth is rejected, every thousandth an error."""
    second = number * HOURS * 3600 // ROWS
    verdict = "ERROR" if number % 1000 == 7 else "NOK" if number % 50 == 0 else "OK"
    stamp = f"{FIRST}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{number % 1000:03d}Z"
    return {"time_utc": stamp, "verdict": verdict, "score": None if verdict == "ERROR" else 0.25 + number % 97 / 97,
            "threshold": 2.0, "warn_threshold": 1.8, "latency_s": 0.01 + number % 13 / 1e4, "brightness": 120.0,
            "sharpness": 40.0, "source": f"frames/{number:09d}.png", "bundle": "part7.csflow", "camera": "gige://1",
            "weights_sha256": "ab" * 32, "engine": "openvino-bf16", "reason": "", "verified": True}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file as a run writes it, and 499 made of it at other moments."""
    duckdb = pytest.importorskip("duckdb", reason="the extra history is not installed")
    root = tmp_path_factory.mktemp("history")
    store = Store(root / "pattern", "a")
    store.append([record(number) for number in range(ROWS)])
    store.close()
    (pattern,) = (root / "pattern").rglob("*.parquet")
    database = duckdb.connect()
    for line in range(LINES):
        for day in range(DAYS):
            folder = root / "store" / f"line=press%20{line}" / f"day={FIRST + timedelta(days=day)}"
            folder.mkdir(parents=True)
            for part in range(FILES):
                hours = 24 * day + HOURS * part
                moved = f"SELECT * REPLACE (time + INTERVAL {hours} HOUR AS time) FROM '{pattern}'"
                name = folder / f"{part:019d}-{ROWS}.parquet"
                database.execute(f"COPY ({moved}) TO '{name}' (FORMAT parquet, COMPRESSION zstd)")
    database.close()
    return root / "store"


def asked(root: Path, *words: str) -> tuple[str, float, int]:
    """What `csflow history` prints, seconds, and the most bytes of memory that it took."""
    csflow = str(Path(sys.executable).with_name("csflow"))
    began = time.perf_counter()
    with subprocess.Popen([csflow, "history", str(root), *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return said, time.perf_counter() - began, usage.ru_maxrss << 10


def test_ten_million_results_are_counted_within_seconds(root: Path) -> None:
    by = ("--by", "line", "--by", "hour", "--json")
    a_day, day_s, day_bytes = asked(root, *by, "--day", str(FIRST + timedelta(days=7)))
    everything, all_s, all_bytes = asked(root, *by)
    _, parts_s, parts_bytes = asked(root, "--parts", "20", "--verdict", "NOK")
    for said, files in ((a_day, LINES * FILES), (everything, LINES * DAYS * FILES)):
        rows = json.loads(said)["rows"]
        assert sum(row["parts"] for row in rows) == files * ROWS
        assert sum(row["error"] for row in rows) == files * ROWS // 1000
        assert sum(row["nok"] for row in rows) == files * ROWS // 50
        assert len(rows) == files * HOURS
    most = max(day_bytes, all_bytes, parts_bytes)
    size = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    print(f"\n{LINES * DAYS * FILES * ROWS:,} results, {size / 1e6:.0f} MB: a day {day_s:.2f} s, all {all_s:.2f} s, "
          f"the newest 20 NOK {parts_s:.2f} s, with the start of the program; {most / 1e6:.0f} MB at most")  # fmt: skip
    assert most < MOST_BYTES
    if os.getloadavg()[0] < 2.5:
        assert day_s < A_DAY_S
        assert all_s < ALL_S
