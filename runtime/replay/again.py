"""Recorded parts through a detector again: the same bundle must say the same, another shows where it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from csflow.runtime.detector import Detector
from csflow.runtime.errors import DataError
from csflow.runtime.replay.parts import Part
from csflow.runtime.sources.files import read_part
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["Again", "Counts", "again"]


@dataclass(frozen=True)
class Again:
    """One part, judged twice."""

    part: Part
    result: Result | None
    """What the detector says now; None where the picture cannot be read."""
    frame: Frame | None
    """The picture; None where it cannot be read."""
    problem: str = ""
    """Why it cannot be read."""

    @property
    def verdict(self) -> str:
        """What the detector says now."""
        return Verdict.ERROR.name if self.result is None else self.result.verdict.name

    @property
    def differs(self) -> bool:
        """Another verdict than in the record."""
        return bool(self.part.record["verdict"] != self.verdict)

    @property
    def identical(self) -> bool:
        """The same verdict, and the same score to the last bit."""
        return self.result is not None and not self.differs and self.part.record.get("score") == self.result.score


@dataclass
class Counts:
    """How many parts came to what."""

    parts: int = 0
    identical: int = 0
    """The same verdict, the same score to the last bit."""
    same_verdict: int = 0
    """With another score."""
    differ: int = 0
    """Another verdict."""
    not_judged: int = 0
    """ERROR in the record: there was no verdict to compare with."""
    without_picture: int = 0
    other_model: int = 0
    """Of those judged again, how many another model had judged."""
    other_engine: int = 0
    """How many the same model had judged, by another engine."""


def again(parts: Iterable[Part], detector: Detector, counts: Counts, progress: Callable[[], None]) -> Iterator[Again]:
    """Judge every part that has a verdict and a picture; what has not is counted.

    Raises InferenceError where the engine fails.
    """
    for part in parts:
        counts.parts += 1
        progress()
        if not part.judged:
            counts.not_judged += 1
        elif part.picture is None:
            counts.without_picture += 1
        else:
            one = _judged(part, detector)
            _count(one, detector, counts)
            yield one


def _judged(part: Part, detector: Detector) -> Again:
    try:
        frame = Frame(read_part(part.picture or part.source), source=str(part.picture))
        return Again(part, detector.detect(frame), frame)
    except DataError as error:
        return Again(part, None, None, str(error))


def _count(one: Again, detector: Detector, counts: Counts) -> None:
    counts.differ += one.differs
    counts.identical += one.identical
    counts.same_verdict += not one.differs and not one.identical
    record, now = one.part.record, detector.identity
    same_model = record.get("weights_sha256") == now.weights_sha256
    counts.other_model += not same_model
    engine = (record.get("engine"), record.get("engine_sha256"))
    counts.other_engine += same_model and engine != (now.engine, now.engine_sha256 or None)
