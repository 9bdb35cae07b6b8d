"""What happened between controller and station, in sentences: for the log, and for whoever puts a cell into service."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.states import State

__all__ = ["Journal", "Passage"]

KEPT = 20
"""Handshakes that are remembered, and complaints."""
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
    part_id: str = ""
    lowered_ms: float | None = None
    """When the controller took TRIGGER away: it has seen TRIGGER_ACK."""
    exposed_ms: float | None = None
    verdict_ms: float | None = None
    verdict: str = ""
    acknowledged_ms: float | None = None
    taken_back: bool = False
    """The controller never acknowledged the result, and it is gone."""

    @property
    def over(self) -> bool:
        """Whether its result is no more to be read."""
        return self.taken_back or self.acknowledged_ms is not None

    def text(self) -> str:
        """One line."""
        steps = (("exposed", self.exposed_ms), (self.verdict, self.verdict_ms), ("acknowledged", self.acknowledged_ms))
        told = ", ".join(f"{name} after {ms:.0f} ms" for name, ms in steps if ms is not None)
        return f"trigger {self.trigger_id}: {told or 'nothing yet'}{', not acknowledged' * self.taken_back}"


@dataclass
class Journal:
    """Looks at each report, and says what is new in it."""

    passages: deque[Passage] = field(default_factory=lambda: deque(maxlen=KEPT))
    """The last handshakes, the newest last."""
    complaints: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """What was not as it should be, with its time in seconds, monotonic; the newest last."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._before = Report()
        self._untold = 0
        self._told_s = -REFUSALS_S

    def kept(self) -> tuple[list[Passage], list[tuple[float, str]]]:
        """Copies of `passages` and `complaints`, from any thread."""
        with self._lock:
            return [replace(passage) for passage in self.passages], list(self.complaints)

    def complain(self, text: str, now_s: float) -> None:
        """Remember a sentence about what is not as it should be."""
        with self._lock:
            self.complaints.append((now_s, text))

    def see(self, report: Report, orders: Orders, now_s: float) -> tuple[list[str], list[str]]:
        """Sentences about what is normal, and about what is not.

        Args:
            report: what is published now.
            orders: what the controller writes: of the part that was accepted just now, where one was.
            now_s: seconds, monotonic.
        """
        with self._lock:
            return self._seen(report, orders, now_s)

    def _seen(self, report: Report, orders: Orders, now_s: float) -> tuple[list[str], list[str]]:
        if report.boot_id != self._before.boot_id:
            # Counters go on over a restart; what they say already is no news.
            self._before = replace(report, status=0, state=0, recipe=0)
        said = self._followed(report, orders, now_s)
        if report.state != self._before.state and State.SINGLE not in (report.state, self._before.state):
            said.append(f"state {State(report.state).name}")
        if report.recipe != self._before.recipe:
            said.append(f"recipe {report.recipe} is in force" if report.recipe else "no recipe is in force")
        wrong = self._refused(report, now_s)
        self._before = report
        return said, wrong

    def _followed(self, report: Report, orders: Orders, now_s: float) -> list[str]:
        before, status = Status(self._before.status), Status(report.status)
        if report.triggers != self._before.triggers:
            self.passages.append(Passage(orders.trigger_id, now_s, orders.part_id))
        if not self.passages:
            return []
        last = self.passages[-1]
        after_ms = 1e3 * (now_s - last.begun_s)
        if before & Status.TRIGGER_ACK and not status & Status.TRIGGER_ACK and last.lowered_ms is None:
            last.lowered_ms = after_ms
        if status & Status.ACQ_DONE and last.exposed_ms is None:
            last.exposed_ms = after_ms
        if report.completed != self._before.completed:
            last.verdict_ms = after_ms
            last.verdict = WORDS.get(report.verdict, "") if status & Status.RESULT_VALID else "ended unseen"
        if before & Status.RESULT_VALID and not status & Status.RESULT_VALID and not last.over:
            if orders.control & Control.RESULT_ACK:
                last.acknowledged_ms = after_ms
            else:
                last.taken_back = True
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
