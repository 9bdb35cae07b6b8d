"""What happened between controller and station, in sentences: for the log, and for whoever puts a cell into service."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.states import State

__all__ = ["Journal", "Passage"]

KEPT = 20
"""Handshakes that are remembered."""
REFUSALS_S = 1.0
"""Between two sentences about refused triggers; what came meanwhile is counted in the next."""
WORDS = {v.code: v.name for v in Verdict}
WRONG = {
    Reason.BUSY: "TRIGGER was raised while READY was 0",
    Reason.DUPLICATE_ID: "TRIGGER was raised with an id of 0, or that of the part before",
}


@dataclass
class Passage:
    """One handshake; times in milliseconds after the trigger was accepted, None for what has not happened."""

    trigger_id: int
    begun_s: float
    exposed_ms: float | None = None
    verdict_ms: float | None = None
    verdict: str = ""
    acknowledged_ms: float | None = None

    def text(self) -> str:
        """One line."""
        steps = (("exposed", self.exposed_ms), (self.verdict, self.verdict_ms), ("acknowledged", self.acknowledged_ms))
        told = ", ".join(f"{name} after {ms:.0f} ms" for name, ms in steps if ms is not None)
        return f"trigger {self.trigger_id}: {told or 'nothing yet'}"


@dataclass
class Journal:
    """Looks at each report, and says what is new in it."""

    passages: deque[Passage] = field(default_factory=lambda: deque(maxlen=KEPT))
    """The last handshakes, the newest last."""

    def __post_init__(self) -> None:
        self._before = Report()
        self._untold = 0
        self._told_s = -REFUSALS_S

    def see(self, report: Report, trigger_id: int, now_s: float) -> tuple[list[str], list[str]]:
        """Sentences about what is normal, and about what is not.

        Args:
            report: what is published now.
            trigger_id: what the controller writes: of the part that was accepted just now, where one was.
            now_s: seconds, monotonic.
        """
        if report.boot_id != self._before.boot_id:
            # Counters go on over a restart; what they say already is no news.
            self._before = replace(report, status=0, state=0, recipe=0)
        said = self._followed(report, trigger_id, now_s)
        if report.state != self._before.state and State.SINGLE not in (report.state, self._before.state):
            said.append(f"state {State(report.state).name}")
        if report.recipe != self._before.recipe:
            said.append(f"recipe {report.recipe} is in force" if report.recipe else "no recipe is in force")
        wrong = self._refused(report, now_s)
        self._before = report
        return said, wrong

    def _followed(self, report: Report, trigger_id: int, now_s: float) -> list[str]:
        before, status = Status(self._before.status), Status(report.status)
        if report.triggers != self._before.triggers:
            self.passages.append(Passage(trigger_id, now_s))
        if not self.passages:
            return []
        last = self.passages[-1]
        after_ms = 1e3 * (now_s - last.begun_s)
        if status & Status.ACQ_DONE and last.exposed_ms is None:
            last.exposed_ms = after_ms
        if report.completed != self._before.completed:
            last.verdict_ms = after_ms
            last.verdict = WORDS.get(report.verdict, "") if status & Status.RESULT_VALID else "ended unseen"
        if before & Status.RESULT_VALID and not status & Status.RESULT_VALID and last.acknowledged_ms is None:
            last.acknowledged_ms = after_ms
            return [last.text()]
        return [last.text()] if last.verdict == "ended unseen" and last.verdict_ms == after_ms else []

    def _refused(self, report: Report, now_s: float) -> list[str]:
        self._untold += report.missed - self._before.missed
        if not self._untold or now_s - self._told_s < REFUSALS_S:
            return []
        more = f" ({self._untold} times since the last of these lines)" if self._untold > 1 else ""
        self._untold, self._told_s = 0, now_s
        why = next((words for reason, words in WRONG.items() if reason == report.warning_code), "a trigger was refused")
        return [f"{why}: id {report.refused_id}{more}"]
