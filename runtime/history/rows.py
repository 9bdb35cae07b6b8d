"""What the store keeps of a record: a row, and rows as the columns of a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown

__all__ = ["NUMBERS", "TEXTS", "columns", "day_of"]

NUMBERS = ("score", "threshold", "warn_threshold", "latency_s", "brightness", "sharpness")
"""float64; NULL where the record has null."""
TEXTS = ("verdict", "fault", "reason", "part", "trigger", "camera", "source", "bundle", "weights_sha256", "engine")
"""NULL where the record has null or nothing."""


def day_of(record: Mapping[str, Any]) -> str:
    """The day in UTC, 2026-03-01. Raises DataError where the record has no time."""
    return f"{_time(record).date()}"


def columns(records: Sequence[Mapping[str, Any]], line: str) -> dict[str, NDArray[Any]]:
    """Records as `result_record` makes them; every column has one value a record.

    Args:
        line: name of the line, in a column of its own.
    """
    made: dict[str, NDArray[Any]] = {
        "time": np.array([np.datetime64(_time(r), "ms") for r in records], "datetime64[ms]"),
        "line": np.array([line] * len(records), object),
        "verified": np.array([r.get("verified") is not False for r in records], bool),
    }
    for name in NUMBERS:
        values = (r.get(name) for r in records)
        made[name] = np.ma.masked_invalid([np.nan if v is None else float(v) for v in values])
    for name in TEXTS:
        made[name] = np.array([shown(str(r[name])) if r.get(name) else None for r in records], object)
    return made


def _time(record: Mapping[str, Any]) -> datetime:
    """In UTC, without saying so."""
    text = record.get("time_utc")
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise DataError(f"a record without time_utc ({text!r}): expected the JSON lines of 'csflow run'") from None
