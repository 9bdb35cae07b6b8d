"""Questions to the store, by DuckDB over its Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from csflow.runtime.errors import DataError
from csflow.runtime.history.store import duckdb

__all__ = ["GROUPS", "Period", "Row", "counted", "looks", "parts", "since_first", "wilson"]

GROUPS = {
    "line": "line",
    "day": "strftime(time, '%Y-%m-%d')",
    "hour": "strftime(time, '%Y-%m-%d %H:00')",
    "bundle": "bundle",
    "model": "substr(weights_sha256, 1, 12)",
    "camera": "camera",
    "engine": "engine",
    "fault": "fault",
}
"""What results can be grouped by, in SQL."""
TIMES = ("day", "hour")
MEMORY = "768MB"
FETCHED = 10_000
"""Rows at a time: a day's parts as Python's values take ten times what they take in DuckDB."""
Z95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True)
class Period:
    """Which results: all of them where nothing is said. Times are UTC."""

    since: date | None = None
    until: date | None = None
    """The last day, included."""
    line: str | None = None
    bundle: str | None = None


@dataclass(frozen=True)
class Row:
    """The results of one group."""

    group: tuple[str, ...]
    parts: int
    ok: int
    uncertain: int
    nok: int
    error: int
    nok_low: float
    """Wilson's 95 % interval (E. B. Wilson, JASA 22, 1927) of the share of NOK among parts with a verdict."""
    nok_high: float
    ok_score: float | None
    """Mean score of the parts that were OK; None without any."""
    ok_score_error: float | None
    """Its standard error; None for fewer than two."""


def counted(root: Path, period: Period, by: Sequence[str]) -> list[Row]:
    """Counts by group, sorted. Raises DataError where there is no store."""
    names = [GROUPS[name] for name in by]
    chosen = ", ".join(f"coalesce({name}::VARCHAR, '')" for name in names)
    grouped = f"GROUP BY {', '.join(str(i + 1) for i in range(len(names)))} ORDER BY ALL" if names else ""
    select = (
        f"SELECT {chosen + ',' if names else ''} count(*), "
        "count(*) FILTER (verdict = 'OK'), count(*) FILTER (verdict = 'UNCERTAIN'), "
        "count(*) FILTER (verdict = 'NOK'), count(*) FILTER (verdict = 'ERROR'), "
        "avg(score) FILTER (verdict = 'OK'), stddev_samp(score) FILTER (verdict = 'OK')"
    )
    return [_row(found, len(names)) for found in _asked(root, period, select, grouped)]


def parts(root: Path, period: Period, verdict: str | None, most: int) -> list[dict[str, Any]]:
    """The parts behind a number, newest first: time, line, part, source, verdict, score and reason of each."""
    names = ("time", "line", "camera", "part", "source", "verdict", "score", "reason", "bundle")
    condition, given = ("AND verdict = ?", [verdict]) if verdict else ("", [])
    select, rest = f"SELECT {', '.join(names)}", f"{condition} ORDER BY time DESC LIMIT {int(most)}"
    return [dict(zip(names, row, strict=True)) for row in _asked(root, period, select, rest, given)]


def since_first(rows: Sequence[Row], by: Sequence[str]) -> list[tuple[float, float] | None]:
    """For each row, how far the mean score of OK parts has moved since the first row of its line, bundle or whatever
    groups it beside the time: a 95 % interval, from both numbers of parts and their spreads; 0 inside is no drift.

    None for the first row, for fewer than two OK parts, and where no group is a day or an hour.
    """
    keys = [tuple(value for name, value in zip(by, row.group, strict=True) if name not in TIMES) for row in rows]
    first: dict[tuple[str, ...], Row] = {}
    for key, row in zip(keys, rows, strict=True):
        if row.ok_score_error is not None:
            first.setdefault(key, row)
    timed = any(name in TIMES for name in by)
    return [_change(first.get(key), row) if timed else None for key, row in zip(keys, rows, strict=True)]


def _change(first: Row | None, row: Row) -> tuple[float, float] | None:
    if first is None or first is row or row.ok_score is None or first.ok_score is None:
        return None
    if row.ok_score_error is None or first.ok_score_error is None:
        return None
    half = Z95 * (row.ok_score_error**2 + first.ok_score_error**2) ** 0.5
    moved = row.ok_score - first.ok_score
    return moved - half, moved + half


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z95 * Z95
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * (share * (1 - share) / trials + z2 / (4 * trials * trials)) ** 0.5
    return middle - half if successes else 0.0, middle + half if successes < trials else 1.0


def looks(root: Path, period: Period) -> Iterator[dict[str, Any]]:
    """What `csflow drift` asks of every part that has a verdict, in the order of time. Raises as `counted`."""
    names = ("time_utc", "verdict", "score", "weights_sha256", "brightness", "sharpness")
    moment = "strftime(time, '%Y-%m-%dT%H:%M:%S')"
    select, rest = f"SELECT {', '.join([moment, *names[1:]])}", "AND verdict <> 'ERROR' ORDER BY time"
    return (dict(zip(names, row, strict=True)) for row in _asked(root, period, select, rest))


def _asked(
    root: Path, period: Period, select: str, rest: str, more: Sequence[object] = ()
) -> Iterator[tuple[Any, ...]]:
    pattern = root / "line=*" / "day=*" / "*.parquet"
    if not any(root.glob("line=*/day=*/*.parquet")):
        raise DataError(f"no history at {root}: 'csflow run --history DIR' makes it, and 'csflow history --add' too")
    held = sorted(unquote(folder.name.partition("=")[2]) for folder in root.glob("line=*"))
    if period.line is not None and period.line not in held:
        raise DataError(f"{root} has no line {period.line!r}: it has {', '.join(map(repr, held))}")
    where, given = _where(period)
    # By name: files of an older csflow lack columns, or have one without a value as a type of its own.
    how = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    sql = f"{select} FROM read_parquet(?, {how}) WHERE {where} {rest}"
    with duckdb().connect(config={"memory_limit": MEMORY}) as database:
        try:
            found = database.execute(sql, [str(pattern), *given, *more])
            while some := found.fetchmany(FETCHED):
                yield from some
        except (duckdb().InvalidInputException, duckdb().IOException) as error:
            raise DataError(f"a file of {root} cannot be read ({str(error).splitlines()[0]}): remove it") from None
        except duckdb().Error as error:
            raise DataError(
                f"{root} holds Parquet files that are not of csflow ({str(error).splitlines()[0]}): keep them elsewhere"
            ) from None


def _where(period: Period) -> tuple[str, list[object]]:
    # The day of the folder first: files of other days are not opened.
    asked = [
        ("day >= ?", period.since and period.since.isoformat()),
        ("day <= ?", period.until and period.until.isoformat()),
        ("line = ?", period.line),
        ("bundle = ?", period.bundle),
    ]
    held = [(condition, value) for condition, value in asked if value is not None]
    # Every row of csflow has a verdict; those of other files that lie here are no parts.
    return " AND ".join(["verdict IS NOT NULL", *(condition for condition, _ in held)]), [value for _, value in held]


def _row(found: tuple[Any, ...], groups: int) -> Row:
    count, ok, uncertain, nok, error, mean, deviation = found[groups:]
    low, high = wilson(nok, ok + uncertain + nok)
    spread = None if deviation is None or ok < 2 else deviation / ok**0.5
    return Row(tuple(map(str, found[:groups])), count, ok, uncertain, nok, error, low, high, mean, spread)
