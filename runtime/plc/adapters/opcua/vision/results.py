"""Reports as results of OPC 40100-1, and the last of them for whoever asks later."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Report

__all__ = ["KEPT", "Results", "job_name", "recipe_id"]

KEPT = 100
"""Results that can be asked for."""
COMPLETED, ABORTED, FAILED = 1, 3, 4
"""ResultState, 12.19 of the standard."""
HASH = "CRC-32"
_WORDS = {v.code: v.name for v in Verdict}


def job_name(boot_id: int, trigger_id: int) -> str:
    """What a job is called: never used twice while trigger ids differ."""
    return f"{boot_id:08X}-{trigger_id}"


def recipe_id(number: int, crc: int = 0, name: str = "") -> Any:
    """A RecipeIdInternalDataType: the number, its name, and RECIPE_CRC where it is known."""
    from asyncua import ua

    made = ua.RecipeIdInternalDataType(Id=str(number) if number else "")
    if crc:
        made.Hash, made.HashAlgorithm = crc.to_bytes(4, "big"), HASH
    if name:
        made.Description = ua.LocalizedText(name)
    return made


class Results:
    """The last results, the oldest first."""

    def __init__(self, job: Callable[[int], int]) -> None:
        """Take what gives the first trigger id of a job by that of one of its parts."""
        self._job = job
        self._kept: deque[Any] = deque(maxlen=KEPT)

    def add(self, report: Report) -> Any:
        """Remember the result that a report shows, and give it."""
        from asyncua import ua

        now = datetime.now(timezone.utc)
        exposed = now - timedelta(milliseconds=report.processing_ms)
        times = ua.ProcessingTimesDataType(
            StartTime=exposed - timedelta(milliseconds=report.acquisition_ms),
            EndTime=now,
            AcquisitionDuration=float(report.acquisition_ms),
            ProcessingDuration=float(report.processing_ms),
        )
        made = ua.ResultDataType(
            ResultId=ua.ResultIdDataType(Id=str(report.result_id)),
            IsPartial=False,
            ResultState=_state(report),
            MeasId=ua.MeasIdDataType(Id=str(report.result_trigger_id)),
            PartId=ua.PartIdDataType(Id=report.result_part_id),
            ExternalRecipeId=ua.RecipeIdExternalDataType(Id=str(report.recipe_used)),
            InternalRecipeId=recipe_id(report.recipe_used, report.recipe_crc_used),
            JobId=ua.JobIdDataType(Id=job_name(report.result_boot_id, self._job(report.result_trigger_id))),
            CreationTime=now,
            ProcessingTimes=times,
            ResultContent=_content(report),
        )
        self._kept.append(made)
        return made

    def find(self, result_id: str) -> Any:
        """The result of this id; None where it is not, or no more, known."""
        return next((one for one in reversed(self._kept) if one.ResultId.Id == result_id), None)

    def select(self, state: int, wanted: dict[str, str]) -> list[Any]:
        """The results of a state (0: any) whose ids are those of `wanted`, by field; an empty one is any."""
        return [
            one
            for one in self._kept
            if state in (0, one.ResultState)
            and all(not text or getattr(getattr(one, name), "Id", None) == text for name, text in wanted.items())
        ]


def _state(report: Report) -> int:
    if report.verdict != Verdict.ERROR.code:
        return COMPLETED
    return ABORTED if report.reason == Reason.ABORTED else FAILED


def _content(report: Report) -> list[Any]:
    """VERDICT, its word, REASON, QUALITY, SCORE, THRESHOLD, RESULT_TRIGGER_ID, RESULT_BOOT_ID."""
    from asyncua import ua

    word = _WORDS.get(report.verdict, Verdict.NONE.name)
    score, threshold = (value if math.isfinite(value) else math.nan for value in (report.score, report.threshold))
    told = (
        (report.verdict, "UInt16"),
        (word, "String"),
        (int(report.reason), "UInt16"),
        (int(report.quality), "UInt16"),
        (score, "Float"),
        (threshold, "Float"),
        (report.result_trigger_id, "UInt32"),
        (report.result_boot_id, "UInt32"),
    )
    return [ua.Variant(value, ua.VariantType[kind]) for value, kind in told]
