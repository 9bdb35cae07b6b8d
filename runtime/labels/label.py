"""One word of an operator: whether a verdict was right, what the part is, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import Verdict

__all__ = ["GOOD", "Label", "LabelCounts", "check_truth", "truth_of"]

GOOD = "good"
"""The truth of a part without a defect; any other word is the type of its defect, and a folder's name."""
GOOD_WORDS = (GOOD, "ok", "normal")
LONGEST = 1000
_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .+-]{0,59}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Label:
    """A line of labels.jsonl."""

    picture: str
    """Path below the folder, with forward slashes."""
    sha256: str
    """Of the picture's file."""
    verdict: str
    """What csflow said: OK, NOK or UNCERTAIN."""
    truth: str
    """'good', or the type of the defect."""
    reason: str
    """Why, in the operator's words."""
    by: str
    """Who said so."""
    time_utc: str
    result: dict[str, Any] = field(default_factory=dict)
    """The record of the result as csflow wrote it; empty where it is not known."""

    def __post_init__(self) -> None:
        if self.verdict not in (Verdict.OK.name, Verdict.NOK.name, Verdict.UNCERTAIN.name):
            raise ValueError(f"{self.verdict!r} is no verdict on a part: expected OK, NOK or UNCERTAIN")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 must be 64 hexadecimal digits")
        check_truth(self.truth)
        if not self.reason.strip() or max(len(self.reason), len(self.by)) > LONGEST:
            raise ValueError(f"a label needs a reason, of at most {LONGEST} characters")

    @property
    def overruled(self) -> bool:
        """Whether the operator said the contrary: a good part was NOK, or a defective one OK."""
        return self.verdict == (Verdict.NOK.name if self.truth == GOOD else Verdict.OK.name)


@dataclass(frozen=True)
class LabelCounts:
    """How often the operator agreed; of each picture the last word counts."""

    labels: int
    false_rejects: int
    """NOK, but good."""
    escapes: int
    """OK, but defective."""
    decided: int
    """UNCERTAIN, and a person decided."""

    @classmethod
    def of(cls, labels: Iterable[Label]) -> LabelCounts:
        """Count labels in their order."""
        last = list({label.sha256: label for label in labels}.values())
        return cls(
            len(last),
            sum(label.overruled and label.truth == GOOD for label in last),
            sum(label.overruled and label.truth != GOOD for label in last),
            sum(label.verdict == Verdict.UNCERTAIN.name for label in last),
        )

    @property
    def overruled(self) -> int:
        """Verdicts that the operator called wrong."""
        return self.false_rejects + self.escapes

    def line(self) -> str:
        """The same in words."""
        return (
            f"labelled pictures: {self.labels}, verdicts overruled: {self.overruled} "
            f"({self.false_rejects} NOK but good, {self.escapes} OK but defective), UNCERTAIN decided: {self.decided}"
        )


def truth_of(verdict: str, right: bool | None, defect: str | None, good: bool) -> str:
    """What the part is, from what the operator said about a verdict.

    Args:
        verdict: OK, NOK or UNCERTAIN.
        right: whether it was right; None where the operator says what the part is instead.
        defect: type of the defect, where there is one and it has a name.
        good: whether the operator says that the part is good.

    Raises ConfigError where that contradicts itself or leaves the truth open.
    """
    if good and defect is not None:
        raise ConfigError("a part cannot be good and have a defect: give --good or --defect")
    said = True if good else False if defect is not None else None
    implied = None if right is None or verdict == Verdict.UNCERTAIN.name else right == (verdict == Verdict.OK.name)
    if said is None and implied is None:
        raise ConfigError(
            "UNCERTAIN is neither right nor wrong: say --good or --defect TYPE"
            if verdict == Verdict.UNCERTAIN.name
            else "say --right, --wrong, --good or --defect TYPE"
        )
    if said is not None and implied is not None and said != implied:
        raise ConfigError(f"{verdict} was {'right' if right else 'wrong'} contradicts --{'good' if good else 'defect'}")
    truth = GOOD if (said if said is not None else implied) else defect or "defect"
    try:
        check_truth(truth)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return truth


def check_truth(truth: str) -> None:
    """Raise ValueError for what can be no folder's name, or would be taken for good parts."""
    if not _TYPE.fullmatch(truth) or truth.endswith((" ", ".")) or (truth.lower() in GOOD_WORDS and truth != GOOD):
        raise ValueError(
            f"{truth[:60]!r} is no name for a type of defect: take letters, digits, '_', '-', '+', '.' and spaces, and "
            "not ok or normal"
        )
