"""A first check of exported graphs: OpenVINO runs the golden frames and must decide as the trained model does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csflow.runtime.bundle import Bundle
from csflow.runtime.decision import load_calibration
from csflow.runtime.engine import open_engine
from csflow.runtime.errors import CalibrationError, EngineMismatch
from csflow.runtime.golden import GoldenCheck, check_golden, load_golden

__all__ = ["FP32_TOLERANCE", "StagedBundle", "check_graphs"]

FP32_TOLERANCE = 1e-3
"""Largest relative score error that float32 rounding explains; a wrong graph is off by far more."""


@dataclass(frozen=True)
class StagedBundle(Bundle):
    """A bundle with files that are not written yet: what it would be, before it is."""

    staged: Mapping[str, bytes]

    def has(self, name: str) -> bool:
        """Whether the file is staged or in the manifest."""
        return name in self.staged or super().has(name)

    def read(self, name: str) -> bytes:
        """The staged content, or the checked content of the bundle."""
        return self.staged[name] if name in self.staged else super().read(name)


def check_graphs(bundle: Bundle, graphs: Mapping[str, bytes]) -> GoldenCheck:
    """Run float32 graphs on the golden frames of `bundle`, which is not touched.

    Raises:
        EngineMismatch: a score differs by more than `FP32_TOLERANCE`, or a verdict differs.
        BackendUnavailable: OpenVINO is not installed.
    """
    staged = StagedBundle(bundle.path, bundle.manifest, graphs)
    try:
        calibration = load_calibration(bundle)
    except CalibrationError:
        # A calibration that cannot be read is for 'csflow calibrate' to replace; scores are compared all the same.
        calibration = None
    with open_engine(staged, "openvino-fp32") as engine:
        check = check_golden(engine, load_golden(bundle), calibration)
    if check.flips or not check.score_error <= FP32_TOLERANCE:
        raise EngineMismatch(
            f"the exported graphs do not decide as the trained model: {check.flips} of {check.frames} verdicts differ, "
            f"largest score error {check.score_error:.2%}; nothing was written; report it"
        )
    return check
