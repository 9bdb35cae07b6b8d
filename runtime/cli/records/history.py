"""`csflow history`: what many lines did, from one store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Command, echo_json

if TYPE_CHECKING:
    from csflow.runtime.history.query import Row

__all__ = ["history"]

BY = ("line", "day", "hour", "bundle", "model", "camera", "engine", "fault")
DAY = click.DateTime(["%Y-%m-%d"])
BATCH = 20_000
HEAD = ("parts", "OK", "UNCERTAIN", "NOK", "ERROR", "NOK share, 95 %", "mean score of OK", "since the first, 95 %")


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--by", "by", multiple=True, type=click.Choice(BY), help="Group by it; several are nested.")
@click.option("--day", type=DAY, metavar="DATE", help="One day, 2026-03-01, in UTC; in place of --since and --until.")
@click.option("--since", type=DAY, metavar="DATE", help="The first day.")
@click.option("--until", type=DAY, metavar="DATE", help="The last day.")
@click.option("--line", metavar="NAME", help="One line; with --add the line that the records are of.")
@click.option("--bundle", metavar="NAME", help="One bundle, by the name of its folder.")
@click.option(
    "--parts",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="List the newest N parts behind the numbers, with the source of their pictures.",
)
@click.option("--verdict", type=click.Choice(["OK", "UNCERTAIN", "NOK", "ERROR"]), help="Of --parts: only these.")
@click.option("--add", type=click.Path(path_type=Path), metavar="FILE", help="Take the JSON lines of a run in first.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def history(
    folder: Path,
    by: tuple[str, ...],
    day: datetime | None,
    since: datetime | None,
    until: datetime | None,
    line: str | None,
    bundle: str | None,
    parts: int | None,
    verdict: str | None,
    add: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Count the results in FOLDER, where 'csflow run --history' keeps them, by line, day, hour, bundle or fault.

    \b
    csflow history history/ --by line --by hour --day 2026-03-01
    csflow history history/ --parts 20 --verdict NOK
    csflow history history/ --add results.jsonl --line press-3
    """
    from csflow.runtime.history import query

    _check(by, parts, verdict, (day, since, until), as_csv and as_json)
    if add is not None:
        _add(folder, add, line)
    first, last = (day, day) if day else (since, until)
    period = query.Period(first and first.date(), last and last.date(), line, bundle)
    if parts is not None:
        _print(query.parts(folder, period, verdict, parts), as_csv, as_json)
    else:
        _print_counts(query.counted(folder, period, by), by, as_csv, as_json)


def _check(
    by: tuple[str, ...],
    parts: int | None,
    verdict: str | None,
    days: tuple[datetime | None, datetime | None, datetime | None],
    twice: bool,
) -> None:
    """Options that would otherwise be passed over: a number that is of something else is worse than none."""
    day, since, until = days
    if verdict is not None and parts is None:
        raise click.UsageError("--verdict is of --parts N: without it every row counts all verdicts")
    if by and parts is not None:
        raise click.UsageError("--parts lists parts, --by counts them: take one of them")
    if day and (since or until):
        raise click.UsageError("--day takes the place of --since and --until: leave those out")
    if since and until and until < since:
        raise click.UsageError(f"--until {until:%Y-%m-%d} lies before --since {since:%Y-%m-%d}")
    if twice:
        raise click.UsageError("--csv and --json: take one of them")


def _add(folder: Path, results: Path, line: str | None) -> None:
    from csflow.runtime.history.rows import day_of
    from csflow.runtime.history.store import Store
    from csflow.runtime.labels.results import records_of

    if line is None:
        raise click.UsageError("--add needs --line NAME: whose records are these?")
    for record in records_of(results):
        day_of(record)  # all of the file or nothing
    store, waiting = Store(folder, line), []
    try:
        for record in records_of(results, told=False):
            waiting.append(record)
            if len(waiting) == BATCH:
                store.append(waiting)
                waiting = []
        store.append(waiting)
    finally:
        store.close()


def _print_counts(rows: list[Row], by: tuple[str, ...], as_csv: bool, as_json: bool) -> None:
    if as_csv or as_json:
        from csflow.runtime.history.query import since_first

        told = [_flat(row, by) | _ends(m) for row, m in zip(rows, since_first(rows, by), strict=True)]
        _print(told, as_csv, as_json)
        return
    from csflow.runtime.history.query import since_first

    moved = since_first(rows, by)
    table = [(*by, *HEAD), *((*row.group, *_cells(row), _moved(m)) for row, m in zip(rows, moved, strict=True))]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        cells = (c.ljust(w) if i < len(by) else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        click.echo("  ".join(cells).rstrip())


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.parts, row.ok, row.uncertain, row.nok, row.error)
    error = "" if row.ok_score_error is None else f" ± {row.ok_score_error:.2g}"
    score = "" if row.ok_score is None else f"{row.ok_score:.4g}{error}"
    return (*map(str, counts), f"{row.nok_low:.2%} to {row.nok_high:.2%}", score)


def _moved(change: tuple[float, float] | None) -> str:
    return "" if change is None else f"{change[0]:+.2g} to {change[1]:+.2g}"


def _ends(change: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = change or (None, None)
    return {"ok_score_change_low": low, "ok_score_change_high": high}


def _flat(row: Row, by: tuple[str, ...]) -> dict[str, Any]:
    from csflow.runtime.schema import to_mapping

    values = to_mapping(row)
    values.pop("group")
    return {**dict(zip(by, row.group, strict=True)), **values}


def _print(rows: list[dict[str, Any]], as_csv: bool, as_json: bool) -> None:
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    if as_json:
        echo_json({"rows": plain})
        return
    if as_csv:
        import csv
        import sys

        writer = csv.DictWriter(sys.stdout, list(plain[0]) if plain else [])
        writer.writeheader()
        writer.writerows(plain)
        return
    for row in plain:
        click.echo("  ".join("-" if value is None else str(value) for value in row.values()))


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z" if isinstance(value, datetime) else value
