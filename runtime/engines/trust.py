"""Whether an engine may decide: the record of the decision gate, or, for a plan without one, the golden frames.

the trained model in torch (float32)   needs no record: it is what the others are compared with
OpenVINO; torch in half precision      the bundle's verification.json must hold a record that passed
a TensorRT plan                        the same; a plan that no gate has run yet is judged by the golden frames that it
                                       scored at this start, with the gate's tolerances
"""

from __future__ import annotations

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.contents import Contents
from csflow.runtime.engines.golden_check import GoldenCheck, golden_problems
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files

__all__ = ["EXEMPT", "distrust", "record_problem"]

EXEMPT = (EngineName("torch", "fp32"), EngineName("fake"))
"""The trained model itself, and the engine without a model."""


def distrust(contents: Contents, name: EngineName, check: GoldenCheck, calibration: Calibration | None) -> str:
    """Why an engine that did so on the golden frames may not decide; empty where it may.

    Args:
        calibration: the thresholds of today; records are judged by them.

    Raises BundleCorrupted where verification.json is damaged, BundleError where a plan cannot be read.
    """
    problem = record_problem(contents, name, calibration)
    if problem is not None:
        return problem
    if not any(file.startswith("engines/") for file in engine_files(contents.bundle, name)):
        return _unknown(contents, name)
    problems = golden_problems(str(name), check.score_error, check.map_error, check.by_spread)
    return f"engine {name} does not decide as the trained model: {'; '.join(problems)}" if problems else ""


def record_problem(contents: Contents, name: EngineName, calibration: Calibration | None) -> str | None:
    """Why the record of this engine does not let it decide; empty where it does, None where there is no record.

    A record of other weights, graphs or plans is none.
    """
    if name in EXEMPT:
        return ""
    record = contents.verification.engines.get(str(name)) if contents.verification else None
    if record is None or record.files != engine_files(contents.bundle, name):
        return None
    problems = record.problems(calibration)
    return f"engine {name} failed the decision gate: {'; '.join(problems)}" if problems else ""


def _unknown(contents: Contents, name: EngineName) -> str:
    if contents.verification is not None and contents.verification.skipped:
        return f"engine {name} is not verified: the bundle was exported with --no-verify"
    return f"engine {name} is not verified: the bundle has no record that it decides as the trained model does"
