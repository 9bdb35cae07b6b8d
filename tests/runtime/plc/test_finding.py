"""OK is positive evidence only."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from csflow.runtime.faults import INVALIDATING, Quality, Reason, Verdict
from csflow.runtime.plc.finding import Finding, proven

OK = Finding(Verdict.OK, score=1.0, threshold=2.0, recipe=7, recipe_crc=9)


def test_evidence_makes_ok() -> None:
    assert proven(OK, 7, 9) is OK
    assert proven(replace(OK, score=2.0), 7, 9).verdict is Verdict.OK


@pytest.mark.fault("G6")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": math.nan}, Reason.NOT_FINITE),
        ({"score": math.inf}, Reason.NOT_FINITE),
        ({"score": 0.0}, Reason.NOT_FINITE),
        ({"score": -1.0}, Reason.NOT_FINITE),
        ({"threshold": math.nan}, Reason.NOT_FINITE),
        ({"score": 2.1}, Reason.INTERNAL),
        ({"recipe": 8}, Reason.INTERNAL),
        ({"recipe_crc": 8}, Reason.INTERNAL),
        ({"verdict": Verdict.NONE}, Reason.INTERNAL),
        *(({"quality": bit}, Reason.PICTURE_UNUSABLE) for bit in INVALIDATING),
    ],
)
def test_anything_else_is_an_error(change: dict[str, object], reason: Reason) -> None:
    found = proven(replace(OK, **change), 7, 9)  # type: ignore[arg-type]
    assert found.verdict is Verdict.ERROR
    assert found.reason is reason


def test_quality_that_does_not_invalidate_is_told_and_passes() -> None:
    found = proven(replace(OK, quality=Quality.UNDER_EXPOSED), 7, 9)
    assert (found.verdict, found.quality) == (Verdict.OK, Quality.UNDER_EXPOSED)


def test_a_rejection_needs_no_evidence() -> None:
    nok = Finding(Verdict.NOK)
    assert proven(nok, 7, 9) is nok
