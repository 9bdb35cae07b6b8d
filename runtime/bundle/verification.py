"""verification.json: what the decision gate found out about each engine (written by `csflow verify` and `export`).

A record keeps the scores of both sides, picture by picture. So its verdict on the engine is computed against the
thresholds of today: a new calibration needs no new verification, and none is taken on trust.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import MAX_SCORES, Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted

__all__ = [
    "MAX_PICTURES",
    "VERIFICATION",
    "Decisions",
    "EngineRecord",
    "Figures",
    "Verification",
    "compare_decisions",
    "flip_problem",
    "levels",
    "load_verification",
]

VERIFICATION = "verification.json"
MAX_PICTURES = 10_000
"""Pictures in one record, golden frames left out; the file stays within the 8 MiB that csflow reads."""


@dataclass(frozen=True)
class Decisions:
    """Verdicts of an engine against those of the trained model, for one pair of thresholds."""

    flips: int
    """Pictures whose verdict differs, those in the band left out."""
    flips_in_band: int
    """Pictures whose verdict differs while both scores lie within the band around a threshold."""
    smallest_margin: float
    """Smallest relative distance of a score of the trained model to a threshold."""
    margin_used: float
    """Largest share of its distance to a threshold that a score outside the band moved; at 1 a verdict may flip."""


@dataclass(frozen=True)
class Figures:
    """How far an engine is from the trained model. Errors of scores are shares of `GoldenSet.unit`, those of maps are
    shares of what the trained model gives."""

    good: int
    defective: int
    score_error_max: float
    score_error_p99: float
    score_error_tail: float | None
    """Largest error among scores above the reject threshold; None where there is none."""
    rank_correlation: float | None
    """Spearman's, over all pictures; None where the scores of one side are all equal."""
    auroc: float | None
    """Image AUROC of the engine; None unless there are good and defective pictures."""
    auroc_change: float | None
    """Its absolute difference to the trained model's."""
    map_error_max: float
    """Largest sum of |map - expected| over the sum of expected, of one picture."""
    map_error_inside: float | None
    """The same over all marked defects; None where no mask marks any."""
    map_error_outside: float | None
    """The same over all that is not marked, in pictures with masks and in good ones; None where there are none."""
    golden_score_error: float
    golden_map_error: float
    """Largest errors on the golden frames alone, which `csflow.runtime.engines.golden_check.tolerances` apply to."""


@dataclass(frozen=True)
class EngineRecord:
    """The gate's findings on one engine."""

    files: dict[str, str]
    """Every file of the bundle that the engine runs, with its SHA-256."""
    library: str
    machine: str
    csflow: str
    created_utc: str
    pictures: str
    """Where they came from: 'golden frames', or those and the name of a folder."""
    band: float
    reference_scores: tuple[float, ...]
    """Scores of the trained model (float32, torch), golden frames first."""
    scores: tuple[float | None, ...]
    """Scores of the engine in the same order; None where it failed or gave no finite number."""
    figures: Figures
    faults: tuple[str, ...]
    """Why the engine may not decide, whatever the thresholds."""
    thresholds: tuple[float, float] | None
    """Warn and reject threshold at the time; None where the bundle was not calibrated."""
    decisions: Decisions | None
    """For these thresholds."""
    passed: bool
    """For these thresholds."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.reference_scores) == len(self.scores) <= MAX_SCORES:
            raise ValueError("expected as many scores as reference scores, and at least one")
        if not 0.0 <= self.band < 1.0:
            raise ValueError("band must lie in 0..1")

    def outweighs(self, other: EngineRecord) -> bool:
        """Whether the engine failed here, and passed there on fewer pictures."""
        return not self.passed and other.passed and len(self.scores) > len(other.scores)

    def problems(self, calibration: Calibration | None) -> list[str]:
        """Why the engine may not decide with these thresholds; empty where it may."""
        found = list(self.faults)
        if calibration is None:
            return found
        thresholds = (calibration.warn_threshold, calibration.reject_threshold)
        flips = compare_decisions(self.reference_scores, self.scores, thresholds, self.band).flips
        return [*found, flip_problem(flips, len(self.scores), self.band)] if flips else found


@dataclass(frozen=True)
class Verification:
    """The content of verification.json."""

    weights_sha256: str
    """Identity of the trained model that the engines were compared with (`Bundle.weights_sha256`)."""
    engines: dict[str, EngineRecord]
    """By `Engine.name`."""
    skipped: bool = False
    """The graphs were written with `csflow export --no-verify`."""
    format_version: int = 1

    def __post_init__(self) -> None:
        if self.format_version != 1:
            raise ValueError(f"format_version {self.format_version} is not read by this csflow")

    def to_bytes(self) -> bytes:
        """The file's content."""
        return schema.dump_json(schema.to_mapping(self))

    def merged(self, records: dict[str, EngineRecord], files_of: Callable[[str], dict[str, str]]) -> Verification:
        """With new records; of the old ones those stay that still describe the files that their engine runs now.

        What an engine failed on is not taken back by fewer pictures: such a record stays, a new one or not.
        """
        kept = {n: r for n, r in self.engines.items() if r.files == files_of(n)}
        told = {n: r for n, r in records.items() if not (n in kept and kept[n].outweighs(r))}
        return replace(self, engines={**kept, **told}, skipped=False)


def flip_problem(flips: int, pictures: int, band: float) -> str:
    """The words for verdicts that differ."""
    return f"{flips} of {pictures} verdicts differ by more than the band of {band:.2%} around a threshold"


def load_verification(bundle: Bundle) -> Verification | None:
    """The records in `bundle`; None where there are none, or they speak of other weights.

    Raises BundleCorrupted where the file is damaged or malformed.
    """
    if not bundle.has(VERIFICATION):
        return None
    try:
        found = schema.from_mapping(Verification, schema.parse_json(bundle.read(VERIFICATION)))
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / VERIFICATION}: {error}; run 'csflow verify' again") from None
    return found if found.weights_sha256 == bundle.weights_sha256 else None


def levels(scores: Sequence[float | None], thresholds: tuple[float, float]) -> NDArray[np.int64]:
    """Verdicts as numbers: 0 up to the warn threshold inclusive, 1 up to the reject threshold, 2 above, -1 no score.

    The rule of `Calibration.verdict`, stated a second time so that the gate can hold the two against each other.
    """
    values = _array(scores)
    usable = np.isfinite(values) & (values > 0)
    found = np.searchsorted(np.array(thresholds), np.where(usable, values, 0.0), side="left")
    return np.where(usable, found, -1)


def compare_decisions(
    reference: Sequence[float], scores: Sequence[float | None], thresholds: tuple[float, float], band: float
) -> Decisions:
    """Compare verdicts picture by picture; `thresholds` are (warn, reject), `band` is relative to them."""
    expected, got, cuts = _array(reference), _array(scores), np.array(thresholds)
    flipped = levels(reference, thresholds) != levels(scores, thresholds)
    near = (_distance(expected, cuts) <= band) & (_distance(got, cuts) <= band)
    excused = flipped & near.any(axis=1)
    distance = _distance(expected, cuts).min(axis=1)
    outside = distance > band
    moved = np.nan_to_num(np.abs(got - expected), nan=np.inf)[outside]
    room = np.abs(expected[:, None] - cuts).min(axis=1)[outside]
    used = float((moved / room).max()) if outside.any() else 0.0
    return Decisions(
        flips=int((flipped & ~excused).sum()),
        flips_in_band=int(excused.sum()),
        smallest_margin=float(distance.min()),
        margin_used=min(used, 1e6),
    )


def _distance(values: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.abs(values[:, None] - cuts) / np.maximum(np.abs(cuts), 1e-12)
    return np.nan_to_num(distance, nan=np.inf)


def _array(scores: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
