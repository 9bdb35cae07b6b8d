"""Whether an engine may decide: the record of the decision gate, or, for a plan without one, the golden frames.

the trained model in torch (float32)   needs no record: it is what the others are compared with
OpenVINO; torch in half precision      the bundle's verification.json must hold a record that passed
a TensorRT plan                        the same; a plan that no gate has run yet is measured on the golden frames
                                       at its first start, and what came out is kept in this machine's cache
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from csflow.runtime import schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import check_golden, load_golden
from csflow.runtime.bundle.verification import engine_files, golden_problems, load_verification
from csflow.runtime.engine import Engine
from csflow.runtime.machine.cache import cache_directory
from csflow.runtime.machine.machine import processor_names

__all__ = ["EXEMPT", "FirstStart", "distrust", "record_problem"]

EXEMPT = ("torch-fp32", "fake")
"""The trained model itself, and the engine without a model."""


@dataclass(frozen=True)
class FirstStart:
    """How a plan did on the golden frames when this machine first ran it; a file in the cache directory."""

    engine: str
    weights_sha256: str
    files: dict[str, str]
    """The plans, with their SHA-256."""
    machine: str
    score_error: float
    map_error: float
    """Largest relative errors on the golden frames."""
    created_utc: str
    format_version: int = 1


def distrust(bundle: Bundle, engine: Engine, calibration: Calibration | None) -> str:
    """Why `engine`, opened for `bundle`, may not decide; empty where it may.

    Args:
        calibration: the thresholds of today; records are judged by them.

    Raises:
        BundleCorrupted: verification.json is damaged.
        InferenceError: a plan that no gate has run failed on a golden frame.
    """
    problem = record_problem(bundle, engine.name, calibration)
    if problem is None:
        plans = engine_files(bundle, engine.name)
        if any(name.startswith("engines/") for name in plans):
            return _first_start(bundle, engine, plans)
        return _unknown(bundle, engine.name)
    return problem


def record_problem(bundle: Bundle, engine_name: str, calibration: Calibration | None) -> str | None:
    """Why the record of this engine does not let it decide; empty where it does, None where there is no record.

    A record of other weights, graphs or plans is none.
    """
    if engine_name in EXEMPT:
        return ""
    verification = load_verification(bundle)
    record = verification.engines.get(engine_name) if verification else None
    if record is None or record.files != engine_files(bundle, engine_name):
        return None
    problems = record.problems(calibration)
    return f"engine {engine_name} failed the decision gate: {'; '.join(problems)}" if problems else ""


def _unknown(bundle: Bundle, engine_name: str) -> str:
    verification = load_verification(bundle)
    if verification is not None and verification.skipped:
        return f"engine {engine_name} is not verified: the bundle was exported with --no-verify"
    return f"engine {engine_name} is not verified: the bundle has no record that it decides as the trained model does"


def _first_start(bundle: Bundle, engine: Engine, plans: dict[str, str]) -> str:
    found = _remembered(bundle, engine, plans) or _measured(bundle, engine, plans)
    problems = golden_problems(engine.name, found.score_error, found.map_error)
    return f"engine {engine.name} does not decide as the trained model: {'; '.join(problems)}" if problems else ""


def _measured(bundle: Bundle, engine: Engine, plans: dict[str, str]) -> FirstStart:
    check = check_golden(engine, load_golden(bundle), None)
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    errors = (check.score_error, check.map_error)
    found = FirstStart(engine.name, bundle.weights_sha256, plans, processor_names(), *errors, created)
    if (path := _path(bundle, engine, plans)) is not None and all(map(math.isfinite, errors)):
        # What cannot be kept is measured again at the next start.
        with contextlib.suppress(OSError):
            write_atomic(path, schema.dump_json(schema.to_mapping(found)))
    return found


def _remembered(bundle: Bundle, engine: Engine, plans: dict[str, str]) -> FirstStart | None:
    path = _path(bundle, engine, plans)
    try:
        found = schema.from_mapping(FirstStart, schema.parse_json(path.read_bytes())) if path else None
    except (OSError, schema.SchemaError):
        return None
    matching = found is not None and (found.files, found.weights_sha256) == (plans, bundle.weights_sha256)
    return found if matching else None


def _path(bundle: Bundle, engine: Engine, plans: dict[str, str]) -> Path | None:
    if (directory := cache_directory()) is None:
        return None
    identity = repr((engine.name, bundle.weights_sha256, sorted(plans.items()), processor_names()))
    return directory / "verified" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
