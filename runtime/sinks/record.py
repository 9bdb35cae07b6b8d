"""A result as the flat record that files, brokers and web hooks get."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

from csflow.runtime.types import Result

__all__ = ["result_record"]


def result_record(result: Result) -> dict[str, Any]:
    """The result as a JSON object: finite numbers or null, the verdict by name, no map.

    `time_utc` is the wall clock when the record was made; `captured_ns` is monotonic and has no date.
    """
    return {
        "frame_index": result.frame_index,
        "verdict": result.verdict.name,
        "score": _finite(result.score),
        "threshold": _finite(result.threshold),
        "p_value": _finite(result.p_value),
        "peak_xy": list(result.peak_xy) if result.peak_xy != (-1, -1) else None,
        "latency_s": _finite(result.latency_s),
        "captured_ns": result.captured_ns,
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "camera": result.camera,
        "source": result.source,
        "trigger": result.trigger or None,
        "part": result.part or None,
        "fault": result.fault or None,
        "reason": result.reason,
        "verified": result.verified,
        "age_s": _finite(result.age_s),
        "prepare_s": _finite(result.prepare_s),
        "infer_s": _finite(result.infer_s),
        "batch": result.batch or None,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
