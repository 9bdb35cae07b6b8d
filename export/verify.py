"""A first check of exported graphs: OpenVINO runs the golden frames and must decide as the trained model does."""

from __future__ import annotations

from csflow.runtime.bundle import Bundle
from csflow.runtime.decision import load_calibration
from csflow.runtime.engine import open_engine
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.golden import GoldenCheck, check_golden, load_golden

__all__ = ["FP32_TOLERANCE", "check_export"]

FP32_TOLERANCE = 1e-3
"""Largest relative score error that float32 rounding explains; a wrong graph is off by far more."""


def check_export(bundle: Bundle) -> GoldenCheck:
    """Run the float32 graphs on the golden frames.

    Raises:
        EngineMismatch: a score differs by more than `FP32_TOLERANCE`, or a verdict differs.
        BackendUnavailable: OpenVINO is not installed.
    """
    with open_engine(bundle, "openvino-fp32") as engine:
        check = check_golden(engine, load_golden(bundle), load_calibration(bundle))
    if check.flips or not check.score_error <= FP32_TOLERANCE:
        raise EngineMismatch(
            f"the exported graphs do not decide as the trained model: {check.flips} of {check.frames} verdicts differ, "
            f"largest score error {check.score_error:.2%}; export again, and report it if it comes back"
        )
    return check
