"""What csflow said about pictures, from the JSON lines of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from csflow.runtime import schema
from csflow.runtime.errors import DataError
from csflow.runtime.faults import Verdict
from csflow.runtime.history.rows import NUMBERS, TEXTS
from csflow.runtime.machine.names import shown

__all__ = ["records_of", "results_of"]

log = logging.getLogger("csflow.records")
SHOWN = 5
ON_PARTS = (Verdict.OK.name, Verdict.NOK.name, Verdict.UNCERTAIN.name)


def results_of(results: Path, pictures: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """The last record about each picture: the one whose `source` is its path, or ends in its name where one alone does.

    Raises DataError where there is none, several are meant, or the verdict is ERROR, which is no verdict on a part.
    """
    wanted: dict[Path, list[dict[str, Any]]] = {picture: [] for picture in pictures}
    for record in records_of(results):
        for picture in pictures:
            if Path(record["source"]).name == shown(picture.name):
                wanted[picture].append(record)
    return {picture: _chosen(picture, records, results) for picture, records in wanted.items()}


def records_of(results: Path, told: bool = True) -> Iterator[dict[str, Any]]:
    """Every record of the file, in its order; each has `source` and `verdict`, and numbers and texts where it has them.

    A line that a power cut left unfinished is left out.

    Args:
        told: whether such lines are told, as a warning.

    Raises DataError where the file cannot be read or a line is no result.
    """
    cut = []
    try:
        with results.open("rb") as file:
            for number, line in enumerate(file, 1):
                if schema.is_cut(line):
                    cut.append(number)
                else:
                    yield _record(line, f"{results}, line {number}")
    except OSError as error:
        raise DataError(f"cannot read {results}: {error.strerror}") from None
    if cut and told:
        log.warning("%s, line %s: not whole, as a power cut leaves it; left out", results, _listed(cut))


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return ", ".join(map(str, numbers[:SHOWN])) + more


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = schema.parse_json(line)
    except schema.SchemaError as error:
        raise DataError(f"{where}: {error}; expected the JSON lines of 'csflow run --results'") from None
    if not isinstance(record, dict) or not all(isinstance(record.get(k), str) for k in ("source", "verdict")):
        raise DataError(
            f"{where}: no result with source and verdict; expected the JSON lines of 'csflow run --results'"
        )
    for names, kinds, expected in ((NUMBERS, (int, float), "a number"), (TEXTS, (str,), "a text")):
        for name in names:
            if (value := record.get(name)) is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                raise DataError(
                    f"{where}: {name} is {str(value)[:40]!r}, expected {expected} or null: correct the line"
                )
    return record


def _chosen(picture: Path, records: list[dict[str, Any]], results: Path) -> dict[str, Any]:
    exact = [r for r in records if Path(r["source"]).absolute() == Path(shown(str(picture))).absolute()]
    if not exact and len({r["source"] for r in records}) > 1:
        raise DataError(f"{results} has several pictures named {picture.name}: name this one by the path of the run")
    if not (exact or records):
        raise DataError(f"{results} says nothing about {picture}: name another file, or --verdict")
    last = (exact or records)[-1]
    if last["verdict"] not in ON_PARTS:
        raise DataError(f"{picture} was {last['verdict']} ({last.get('reason')}): no verdict on the part to agree with")
    return last
