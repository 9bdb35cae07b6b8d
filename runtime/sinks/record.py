"""A result as the flat record that files, brokers and web hooks get."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

from csflow.runtime.types import Identity, Result, TileScores

__all__ = ["result_record", "utc_text"]


def result_record(result: Result) -> dict[str, Any]:
    """The result as a JSON object: finite numbers or null, the verdict by name, no map.

    `time_utc` is the wall clock at capture, the same in every output; `captured_ns` is monotonic and has no date.
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
        "time_utc": utc_text(result.captured_unix_ns),
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
        "brightness": _finite(result.brightness),
        "sharpness": _finite(result.sharpness),
        "camera_data": dict(result.camera_data) or None,
        "tiles": None if result.tiles is None else _tiles(result.tiles),
        "clipped": None if result.clipped is None else list(result.clipped),
        **_judged_by(result.identity),
    }


def utc_text(unix_ns: int) -> str:
    """A moment in ISO 8601 with milliseconds and Z, from nanoseconds since 1970 UTC."""
    seconds, nanoseconds = divmod(unix_ns, 10**9)
    stamp = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 10**6:03d}Z"


def _tiles(found: TileScores) -> dict[str, Any]:
    return {"count": found.count, "worst": [list(tile) for tile in found.worst]}


def _judged_by(identity: Identity | None) -> dict[str, Any]:
    return {
        "warn_threshold": None if identity is None else _finite(identity.warn_threshold),
        "engine": None if identity is None else identity.engine,
        "engine_sha256": None if identity is None else identity.engine_sha256 or None,
        "bundle": None if identity is None else identity.bundle,
        "bundle_sha256": None if identity is None else identity.bundle_sha256,
        "weights_sha256": None if identity is None else identity.weights_sha256,
        "calibration_sha256": None if identity is None else identity.calibration_sha256,
        "pack_sha256": None if identity is None else identity.pack_sha256 or None,
        "signed_by": None if identity is None else identity.signed_by or None,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
