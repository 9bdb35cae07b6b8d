"""From score to verdict: the thresholds in calibration.json and the rule that applies them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from csflow.runtime import schema
from csflow.runtime.bundle.directory import CALIBRATION, Bundle
from csflow.runtime.errors import CalibrationError
from csflow.runtime.types import Verdict

__all__ = ["Calibration", "load_calibration"]

MAX_SCORES = 100_000


@dataclass(frozen=True)
class Calibration:
    """The content of calibration.json. Scores and thresholds are raw scores (`Prediction.score`).

    OK when 0 < score <= warn_threshold, UNCERTAIN up to reject_threshold inclusive, NOK above it,
    ERROR when the score is not a positive finite number: no picture has it, a dead engine may.
    """

    reject_threshold: float
    warn_threshold: float
    false_reject_rate: float
    """The rate asked for, in 0..1: at most this share of good parts scores above reject_threshold ..."""
    confidence: float
    """... with this confidence, in 0..1 (order statistics, Beta(k, n+1-k))."""
    bound: float
    """Upper bound on the false-reject rate that these parts support at that confidence, in 0..1."""
    warn_rate: float
    """Expected share of good parts above warn_threshold, in 0..1."""
    scores: tuple[float, ...]
    """Scores of the good calibration parts, ascending; the p-value at run time is read from them."""
    weights_sha256: str
    """Identity of the model that gave the scores (`Bundle.weights_sha256`)."""
    backend: str
    """Engine that gave the scores."""
    created_utc: str
    format_version: int = 1

    def __post_init__(self) -> None:
        if self.format_version != 1:
            raise ValueError(f"format_version {self.format_version} is not read by this csflow")
        if not all(map(math.isfinite, (self.warn_threshold, self.reject_threshold, *self.scores))):
            raise ValueError("thresholds and scores must be finite")
        if self.warn_threshold > self.reject_threshold:
            raise ValueError("warn_threshold must not lie above reject_threshold")
        for name in ("false_reject_rate", "confidence", "bound", "warn_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in 0..1")
        if not 1 <= len(self.scores) <= MAX_SCORES:
            raise ValueError(f"expected 1 to {MAX_SCORES} scores")
        if list(self.scores) != sorted(self.scores):
            raise ValueError("scores must be in ascending order")

    def verdict(self, score: float) -> Verdict:
        """The decision on a raw score; anything not finite, zero or negative is ERROR, never OK."""
        if not math.isfinite(score) or score <= 0.0:
            return Verdict.ERROR
        if score > self.reject_threshold:
            return Verdict.NOK
        return Verdict.UNCERTAIN if score > self.warn_threshold else Verdict.OK

    def p_value(self, score: float) -> float:
        """Conformal p-value (1 + #{s_i >= score}) / (n + 1); NaN for a score that is not finite."""
        if not math.isfinite(score):
            return math.nan
        n = len(self.scores)
        return (1 + n - bisect_left(self.scores, score)) / (n + 1)


def load_calibration(bundle: Bundle) -> Calibration | None:
    """The calibration of `bundle`, validated and bound to its weights; None where there is none.

    Raises CalibrationError when calibration.json is malformed or belongs to another model.
    """
    data = bundle.read_calibration()
    if data is None:
        return None
    path = bundle.path / CALIBRATION
    try:
        calibration = schema.from_mapping(Calibration, schema.parse_json(data))
    except schema.SchemaError as error:
        raise CalibrationError(f"{path}: {error}; correct the file or run 'csflow calibrate' again") from None
    if calibration.weights_sha256 != bundle.weights_sha256:
        raise CalibrationError(f"{path} belongs to another model; run 'csflow calibrate' for this one")
    return calibration
