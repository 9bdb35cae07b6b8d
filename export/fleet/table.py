"""What is known of every product, one row each: for a terminal, for programs, and for the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csflow.calibration.thresholds import percent
from csflow.export.fleet.products import Fleet, Product
from csflow.export.fleet.records import Record, Records
from csflow.export.fleet.task import VERBS
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import CSFlowError
from csflow.runtime.schema import to_mapping
from csflow.toolkit.choosing.settings import AUTO
from csflow.toolkit.evaluation.html import render_page

__all__ = ["Row", "fleet_page", "rows_of", "table_lines", "to_json"]

HEAD = ("product", "recipe", "method", "AUROC", "good scores", "promise", "seconds", "state")
LEFT = (0, 2, 7)
"""Columns that are text."""


@dataclass(frozen=True)
class Row:
    """One product."""

    name: str
    number: int
    method: str
    """With its options; 'auto: padim' where it was chosen."""
    auroc: float | None
    """Image AUROC on the test pictures; None where there are no good or no defective ones."""
    good: tuple[float, float] | None
    """Mean and standard deviation of the scores of good pictures."""
    good_of: str
    """Whose these are."""
    bound: float | None
    """Upper bound of the share of good parts that are rejected, in 0..1, which the thresholds promise; None before."""
    parts: int | None
    """Good parts that gave the thresholds."""
    confidence: float | None
    seconds: dict[str, float]
    """By verb, the last time that it was done."""
    passed: tuple[str, ...]
    """Engines that passed the gate."""
    problem: str
    """What went wrong in this run, or with the bundle; empty otherwise."""

    @property
    def state(self) -> str:
        """The last of the steps that was done, or what went wrong."""
        done = [word for verb, word in VERBS.items() if verb in self.seconds]
        return f"FAILED: {self.problem}" if self.problem else (done[-1] if done else "not trained")

    @property
    def bound_words(self) -> str:
        """The promise, for people; empty without thresholds."""
        return "" if self.bound is None else f"{percent(self.bound, 3)} of {self.parts}"


def rows_of(fleet: Fleet, problems: Mapping[str, str]) -> list[Row]:
    """A row for every product of the file, with the problems of this run by name."""
    records = Records(fleet.work)
    return [_row(product, records, problems.get(product.name, "")) for product in fleet.products]


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The rows as a table for a terminal."""
    table = [HEAD, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    return [
        "  ".join(c.ljust(w) if i in LEFT else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        .rstrip()
        for line in table
    ]  # fmt: skip


def fleet_page(fleet: Fleet, rows: Sequence[Row], title: str) -> str:
    """One HTML page: the table, and every product's sheet. It needs no other file and no network.

    Raises BackendUnavailable where Jinja2 is not installed.
    """
    records = Records(fleet.work)
    sheets = {product.name: _uri(records, product) for product in fleet.products}
    failed = sum(bool(row.problem) for row in rows)
    return render_page("csflow.export.fleet", "page.html.j2", title=title, rows=rows, sheets=sheets, failed=failed)


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows for programs."""
    return {"format_version": 1, "products": [{**to_mapping(row), "state": row.state} for row in rows]}


def _row(product: Product, records: Records, problem: str) -> Row:
    record, calibration = records.read(product), None
    if record.weights_sha256:
        try:
            calibration = load_calibration(Bundle.open(product.bundle))
        except CSFlowError as error:
            problem = problem or str(error)
    return Row(
        product.name,
        product.entry.number,
        _method(product, record),
        record.auroc,
        record.good,
        record.good_of,
        None if calibration is None else calibration.bound,
        None if calibration is None else len(calibration.scores),
        None if calibration is None else calibration.confidence,
        record.seconds,
        record.passed,
        problem,
    )


def _method(product: Product, record: Record) -> str:
    named = product.entry.method
    return f"{named}: {record.chosen}" if named == AUTO and record.chosen else named


def _cells(row: Row) -> tuple[str, ...]:
    good = "" if row.good is None else f"{row.good[0]:.4g} ± {row.good[1]:.2g} {row.good_of}"
    return (
        row.name,
        str(row.number or ""),
        row.method,
        "" if row.auroc is None else f"{row.auroc:.4f}",
        good,
        row.bound_words,
        f"{sum(row.seconds.values()):.0f}" if row.seconds else "",
        row.state,
    )


def _uri(records: Records, product: Product) -> str:
    try:
        return "data:image/jpeg;base64," + base64.b64encode(records.sheet(product).read_bytes()).decode()
    except OSError:
        return ""
