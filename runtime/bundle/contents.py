"""What a bundle holds besides graphs and weights, each read once: a start hands it on instead of reading it again."""

from __future__ import annotations

from functools import cached_property

from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenSet, load_golden
from csflow.runtime.bundle.verification import Verification, load_verification
from csflow.runtime.errors import BundleError, CalibrationError

__all__ = ["Contents"]


class Contents:
    """A bundle with its thresholds, golden frames and records of the decision gate, read when they are first asked for.

    What cannot be read raises each time that it is asked for.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @cached_property
    def calibration(self) -> Calibration | None:
        """The thresholds; None where there are none. Raises as `load_calibration` does."""
        return load_calibration(self.bundle)

    @cached_property
    def usable_calibration(self) -> Calibration | None:
        """The thresholds where they can be read; 'csflow calibrate' opens an engine to replace those that cannot."""
        try:
            return self.calibration
        except (CalibrationError, BundleError):
            return None

    @cached_property
    def golden(self) -> GoldenSet:
        """The golden frames. Raises as `load_golden` does."""
        return load_golden(self.bundle)

    @cached_property
    def verification(self) -> Verification | None:
        """The records of the decision gate on these weights. Raises as `load_verification` does."""
        return load_verification(self.bundle)
