"""A handshake on the bench: no station, no network, a controller that does as the test says."""

from __future__ import annotations

from collections.abc import Sequence

from csflow.runtime.faults import Verdict
from csflow.runtime.plc.events import (
    Condition,
    Decided,
    Event,
)
from csflow.runtime.plc.finding import Finding
from csflow.runtime.plc.handshake import Handshake
from csflow.runtime.plc.process_image import Control, Orders, Report, Status

ON = Condition(recipe=7, recipe_crc=9)
OK = Finding(Verdict.OK, score=1.0, threshold=2.0, p_value=0.5, recipe=7, recipe_crc=9, peak_xy=(3, 4))
E, T, A = Control.ENABLE, Control.TRIGGER, Control.RESULT_ACK
X, B = Control.EXECUTE, Control.BUFFER_RESULTS


class Bench:
    """A handshake with a controller that does as the test says."""

    def __init__(self, handshake: Handshake | None = None, condition: Condition = ON) -> None:
        self.handshake = handshake or Handshake(boot_id=5)
        self.condition = condition
        self.actions: list[object] = []
        self.write(Control(0))

    def write(self, control: Control, trigger_id: int = 0, events: Sequence[Event] = (), **other: int | str) -> Report:
        orders = Orders(control, 0, trigger_id, **other)  # type: ignore[arg-type]
        report, actions = self.handshake.step(orders, self.condition, events)
        self.actions += actions
        return report

    def trigger(self, trigger_id: int, **other: int | str) -> Report:
        self.write(E)
        return self.write(E | T, trigger_id, **other)

    def whole(self, trigger_id: int, finding: Finding = OK) -> Report:
        """A trigger with its result, not acknowledged."""
        self.trigger(trigger_id)
        return self.write(E, events=[Decided(self.handshake.ticket, finding)])


def status(report: Report) -> Status:
    return Status(report.status)
