"""`csflow drift`: whether the parts of each day are still those of the calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Command, Share, bundle_option, echo_json

if TYPE_CHECKING:
    from csflow.runtime.bundle.calibration import Calibration
    from csflow.runtime.history.drift import Day

__all__ = ["drift"]

EXAMPLES = (
    "csflow drift results.jsonl",
    "csflow drift history/ --line press-3 --since 2026-03-01 --bundle part7.csflow",
)
DAY = click.DateTime(["%Y-%m-%d"])
HEAD = ("day", "parts", "rejected", "expected", "above", "tells", "brightness", "sharpness", "changed")
SHIFTS = (0.25, 0.5, 1.0)
ADVICE = {
    "light": "the light or the focus changed: put it right first, and judge the scores again after that",
    "product": "parts that pass score otherwise than the calibration's, under the same light: look at some; where they "
    "are good, calibrate again with parts of these days",
    "both": "parts that pass score otherwise, and their pictures changed: a lamp, a lens, or dirt and wear of the "
    "parts themselves; look at some, and put the light right, before you calibrate again",
    "defects": "more parts are rejected than that explains: look at them; a new calibration would only let them pass",
}


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE_OR_HISTORY...")
@bundle_option
@click.option("--since", type=DAY, metavar="DATE", help="The first day, in UTC.")
@click.option("--until", type=DAY, metavar="DATE", help="The last day.")
@click.option("--line", metavar="NAME", help="Of a history: one line.")
@click.option(
    "--confidence",
    type=Share(0.5, 0.9999),
    default="99%",
    show_default=True,
    help="How sure it is that a day on which nothing changed is not reported.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def drift(
    ctx: click.Context,
    records: tuple[Path, ...],
    bundle: str,
    since: datetime | None,
    until: datetime | None,
    line: str | None,
    confidence: float,
    as_json: bool,
) -> None:
    """Compare the parts of each day with those that gave the thresholds, and say what changed: light, product, defects.

    Reads the JSON lines of 'csflow run --results', and folders of 'csflow run --history'. Exit code 1 where a day
    changed.
    """
    from csflow.runtime.bundle.calibration import load_calibration
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.errors import CalibrationError
    from csflow.runtime.history.drift import by_day, days_of
    from csflow.runtime.schema import to_mapping

    if line is not None and (files := [place for place in records if place.is_file()]):
        raise click.UsageError(f"--line is of a history, and {files[0]} holds the parts of one run: leave --line out")
    if since and until and until < since:
        raise click.UsageError(f"--until {until:%Y-%m-%d} lies before --since {since:%Y-%m-%d}")
    opened = Bundle.open(bundle)
    calibration = load_calibration(opened)
    if calibration is None:
        raise CalibrationError(f"{bundle} has no thresholds to compare with: run 'csflow calibrate' first")
    period = (since and f"{since:%Y-%m-%d}", until and f"{until:%Y-%m-%d}")
    parts, others = by_day(_records(records, line, since, until), opened.weights_sha256)
    held = {day: p for day, p in parts.items() if (period[0] or "") <= day <= (period[1] or "9999")}
    days = days_of(held, calibration, confidence)
    if as_json:
        told = [{**to_mapping(day), "advice": _advice(day)} for day in days]
        echo_json({"format_version": 1, "confidence": confidence, "other_records": others, "days": told})
    else:
        _print(days, calibration, confidence, others)
    if any(day.reasons for day in days):
        ctx.exit(1)


def _records(
    places: tuple[Path, ...], line: str | None, since: datetime | None, until: datetime | None
) -> Iterable[dict[str, Any]]:
    from csflow.runtime.history.query import Period, looks
    from csflow.runtime.labels.results import records_of

    period = Period(since and since.date(), until and until.date(), line)
    for place in places:
        yield from looks(place, period) if place.is_dir() else records_of(place)


def _print(days: list[Day], calibration: Calibration, confidence: float, others: int) -> None:
    if days:
        _print_table(days)
        click.echo(_sizes(len(calibration.scores), confidence))
    else:
        click.echo("no part of these days has a verdict by this model: nothing was compared")
    if others:
        click.echo(f"{others} records had no verdict, or were judged by another model: left out")
    for day in days:
        for line in _advice(day):
            click.echo(f"{day.day}: {line}")


def _print_table(days: list[Day]) -> None:
    table = [HEAD, *map(_cells, days)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        last = len(HEAD) - 1
        cells = (c.ljust(w) if i in (0, last) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        click.echo("  ".join(cells).rstrip())


def _cells(day: Day) -> tuple[str, ...]:
    return (
        day.day,
        str(day.parts),
        str(day.rejected),
        f"{day.parts * day.expected_share:.1f}",
        "" if day.above is None else f"{day.above:.0%}",
        (f"{day.tells:.2g} sd" if math.isfinite(day.tells) else "none") if day.enough else "",
        *(f"{day.moved[name] - 1:+.1%}" if name in day.moved else "" for name in ("brightness", "sharpness")),
        ", ".join(day.reasons) if day.enough else "too few parts",
    )


def _advice(day: Day) -> list[str]:
    reasons = set(day.reasons)
    if {"light", "product"} <= reasons:
        reasons = reasons - {"light", "product"} | {"both"}
    return [text for reason, text in ADVICE.items() if reason in reasons]


def _sizes(known: int, confidence: float) -> str:
    """How many parts tell how much."""
    from csflow.runtime.history.drift import TESTS
    from csflow.runtime.history.ranks import parts_needed

    alpha = (1.0 - confidence) / TESTS
    needed = {shift: parts_needed(shift, known, alpha) for shift in SHIFTS}
    told = [f"{shift:g} sd needs {n or 'more parts in the calibration'}" for shift, n in needed.items()]
    return f"parts in a day to tell a shift of the scores, with {known} in the calibration: {', '.join(told)}"
