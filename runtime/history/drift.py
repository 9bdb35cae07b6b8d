"""Whether a day's parts are still those of the calibration, and if not, what changed: light, product, or defects.

Four tests a day share one promise: of the days on which nothing changed, at most 1 - confidence are reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.history.ranks import detectable, exceedance, mann_whitney, shift_bound
from csflow.runtime.history.rows import day_of
from csflow.runtime.types import Verdict

__all__ = ["LOOKS", "TESTS", "Day", "Parts", "by_day", "days_of"]

FEWEST = 10
"""Parts below which nothing is said: ranks of fewer prove nothing at the usual confidence."""
LOOKS = ("brightness", "sharpness")
"""What records say of the picture itself."""
LEAST = {"brightness": 0.03, "sharpness": 0.1}
"""Share by which the median must have moved: less is seen by statistics before it matters to any model."""
TESTS = len(LOOKS) + 2
"""Of a day: of each look, of the scores of passed parts, and of the number of rejected ones."""
JUDGED = (Verdict.OK.name, Verdict.UNCERTAIN.name, Verdict.NOK.name)


@dataclass
class Parts:
    """The parts of one day that had a verdict of this model."""

    scores: list[float] = field(default_factory=list)
    looks: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LOOKS})

    def add(self, record: Mapping[str, Any]) -> None:
        """One record, as `result_record` makes it."""
        self.scores.append(float(record["score"]))
        for name in LOOKS:
            # A defect may darken a picture, and its edges are sharp: that is not the light.
            if record.get(name) is not None and record["verdict"] != Verdict.NOK.name:
                self.looks[name].append(float(record[name]))


@dataclass(frozen=True)
class Day:
    """What became of one day."""

    day: str
    parts: int
    rejected: int
    """Parts above the reject threshold."""
    expected_share: float
    """Of rejected parts, in 0..1, on average: of parts like the calibration's, moved as far as the passed ones are."""
    above: float | None
    """Probability that a passed part scores above one of the calibration; one half while nothing changes. None: too
    few passed, or all of the calibration lie above the threshold."""
    p_product: float | None
    p_defects: float
    p_looks: dict[str, float]
    """Of brightness and sharpness, where the records tell them."""
    moved: dict[str, float]
    """By brightness and sharpness: the median of the day's passed parts over that of the first ones."""
    tells: float
    """Shift of the passed parts' scores, in standard deviations, that so many parts tell four times in five."""
    reasons: tuple[str, ...]
    """'light', 'product', 'defects'; empty where nothing shows."""

    @property
    def enough(self) -> bool:
        """Whether there were parts enough to say anything."""
        return self.parts >= FEWEST


def by_day(records: Iterable[Mapping[str, Any]], weights_sha256: str) -> tuple[dict[str, Parts], int]:
    """The parts of each day in the order of days, and how many records were of another model or had no verdict."""
    days: dict[str, Parts] = {}
    others = 0
    for record in records:
        score = record.get("score")
        judged = record["verdict"] in JUDGED and score is not None and score > 0.0
        if judged and record.get("weights_sha256") == weights_sha256:
            days.setdefault(day_of(record), Parts()).add(record)
        else:
            others += 1
    return dict(sorted(days.items())), others


def days_of(days: Mapping[str, Parts], calibration: Calibration, confidence: float) -> list[Day]:
    """Judge every day.

    Args:
        days: in the order of time. The light of a day is compared with that of the first parts, as many as gave the
            thresholds: a calibration keeps no light.
        confidence: in 0..1; how sure it is that a day on which nothing changed is not reported.
    """
    alpha = (1.0 - confidence) / TESTS
    first = {name: _first(days.values(), name, len(calibration.scores)) for name in LOOKS}
    return [_day(day, parts, calibration, first, alpha) for day, parts in days.items()]


def _first(days: Iterable[Parts], name: str, most: int) -> list[float]:
    return [value for parts in days for value in parts.looks[name]][:most]


def _day(day: str, parts: Parts, calibration: Calibration, first: Mapping[str, list[float]], alpha: float) -> Day:
    threshold = calibration.reject_threshold
    # Both below the same order statistic: what is rejected, such as defects, moves neither.
    known = [math.log(s) for s in calibration.scores if s < threshold]
    passed = [math.log(s) for s in parts.scores if s <= threshold]
    rejected = len(parts.scores) - len(passed)
    p_product, above = mann_whitney(known, passed) if known and len(passed) >= FEWEST else (None, None)
    product = p_product is not None and p_product < alpha
    # Where all parts score higher, more of them are rejected: that alone is no sign of more defects.
    lifted = math.exp(max(shift_bound(known, passed, alpha)[1], 0.0)) if product else 1.0
    rank = 1 + sum(s * lifted > threshold for s in calibration.scores)
    p_defects = exceedance(rejected, len(parts.scores), rank, len(calibration.scores))
    seen = [name for name in LOOKS if min(len(parts.looks[name]), len(first[name])) >= FEWEST]
    p_looks = {name: mann_whitney(first[name], parts.looks[name])[0] for name in seen}
    moved = {name: _median(parts.looks[name]) / max(_median(first[name]), 1e-9) for name in seen}
    shown = len(parts.scores) >= FEWEST
    found = {
        "light": any(p < alpha and abs(moved[name] - 1.0) >= LEAST[name] for name, p in p_looks.items()),
        "product": product,
        "defects": shown and p_defects < alpha,
    }
    return Day(
        day,
        len(parts.scores),
        rejected,
        rank / (len(calibration.scores) + 1),
        above,
        p_product,
        p_defects,
        p_looks,
        moved,
        detectable(len(passed), len(known), alpha),
        tuple(reason for reason, holds in found.items() if holds),
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2.0
