"""The randomised model of the handshake: controller, gateway and station in simulated time, faults of every side.

Time is counted in milliseconds and costs nothing, so that hundreds of thousands of handshakes take minutes. The
inspection is an oracle that looks at the part before the camera at the moment of exposure; an escape is a defective
part that the controller passes.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.events import Abandon, Action, Begin, Condition, Decided, Event, Exposed, Finished, Overdue
from csflow.runtime.plc.finding import Finding, failure
from csflow.runtime.plc.handshake import Handshake
from csflow.runtime.plc.process_image import Orders
from csflow.runtime.plc.simulator.controller import Controller, Decision, Guards
from csflow.runtime.plc.simulator.gateway import Faults, Gateway

__all__ = ["Hazards", "Tally", "run_model"]

RECIPE = 7
CRC = 0xC0FFEE
DEADLINE_MS = 60
FINDINGS = {
    True: Finding(Verdict.OK, score=1.0, threshold=2.0, recipe=RECIPE, recipe_crc=CRC),
    False: Finding(Verdict.NOK, Reason.ABOVE_REJECT, score=3.0, threshold=2.0, recipe=RECIPE, recipe_crc=CRC),
}


@dataclass(frozen=True)
class Hazards:
    """Probabilities a trigger."""

    station_restart: float = 0.02
    controller_restart: float = 0.02
    power_cut: float = 0.05
    """Both start anew at once; the gateway does not."""
    hang: float = 0.02
    """The worker never answers."""
    crash: float = 0.02
    """The worker dies with the part in work, and is away for a while."""
    late: float = 0.05
    """It answers after the deadline."""
    retentive: bool = True
    """Whether the controller keeps its trigger id over a restart."""


@dataclass
class Tally:
    """What came of a run."""

    decisions: Counter[str] = field(default_factory=Counter)
    """By reason; '' is a part that passed."""
    escapes: int = 0
    duplicates: int = 0
    """Second decisions of the controller, or second terminal results of the station, for one trigger."""
    unanswered: int = 0
    """Accepted triggers without a terminal result, although the station did not start anew."""
    terminal: Counter[str] = field(default_factory=Counter)
    """Terminal results of the station by verdict."""

    @property
    def good(self) -> bool:
        """Nothing escaped, everything was answered once."""
        return not (self.escapes or self.duplicates or self.unanswered)


class _Station:
    """A handshake with an oracle as its worker."""

    def __init__(self, line: _Line, boot_id: int) -> None:
        self._line = line
        self.handshake = Handshake(boot_id)
        self._orders = Orders()
        self._due: list[tuple[int, Event]] = []
        self._away_ms = 0
        self._open: set[int] = set()
        self._step(())

    def receive(self, orders: Orders) -> None:
        self._orders = orders
        self._step(())

    def tick(self) -> None:
        now = self._line.now_ms
        due = [event for at, event in self._due if at <= now]
        if due or now == self._away_ms:
            self._due = [(at, event) for at, event in self._due if at > now]
            self._step(tuple(self._seen(event) for event in due))

    def _seen(self, event: Event) -> Event:
        """What the oracle sees when the exposure ends."""
        if isinstance(event, Exposed):
            self._line.truth[event.ticket] = self._line.good
        elif isinstance(event, Decided) and event.finding.verdict is Verdict.NONE:
            return Decided(event.ticket, FINDINGS[self._line.truth[event.ticket]])
        return event

    def _step(self, events: tuple[Event, ...]) -> None:
        fault = Reason.WORKER_CRASHED if self._line.now_ms < self._away_ms else Reason.NONE
        condition = Condition(0 if fault else RECIPE, 0 if fault else CRC, fault)
        _, actions = self.handshake.step(self._orders, condition, events)
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        line = self._line
        if isinstance(action, Begin):
            self._open.add(action.ticket)
            self._due.append((line.now_ms + DEADLINE_MS, Overdue(action.ticket)))
            self._work(action.ticket)
        elif isinstance(action, Finished):
            line.tally.duplicates += action.ticket not in self._open
            self._open.discard(action.ticket)
            line.tally.terminal[action.finding.verdict.name] += 1
        elif isinstance(action, Abandon):
            self._due = [(at, e) for at, e in self._due if getattr(e, "ticket", 0) != action.ticket]

    def _work(self, ticket: int) -> None:
        now, hazards, chance = self._line.now_ms, self._line.hazards, self._line.random
        exposed = now + chance.randint(1, 10)
        if chance.random() < hazards.hang:
            return
        if chance.random() < hazards.crash:
            self._away_ms = exposed + chance.randint(20, 200)
            self._due.append((exposed, Decided(ticket, failure(Reason.WORKER_CRASHED, "killed"))))
            return
        late = DEADLINE_MS if chance.random() < hazards.late else 0
        decided = exposed + chance.randint(1, DEADLINE_MS // 2) + late
        self._due += [(exposed, Exposed(ticket)), (decided, Decided(ticket, Finding(Verdict.NONE)))]

    def end(self) -> int:
        """Accepted triggers that have no result, beside the one in work."""
        return len(self._open - {self.handshake.ticket})


class _Line:
    """The world: time, the part before the camera, and who restarts when."""

    def __init__(self, seed: int, hazards: Hazards, faults: Faults, guards: Guards) -> None:
        self.random = random.Random(seed)
        self.hazards = hazards
        self.tally = Tally()
        self.now_ms = 0
        self.good = True
        self.truth: dict[int, bool] = {}
        self._guards = guards
        self._gateway = Gateway(self.random, faults)
        self._boot_id = 0
        self._part = 0
        self._decided: set[int] = set()
        self._written = Orders()
        self._restarts: list[tuple[int, str]] = []
        self._new_station()
        self._new_controller(0)
        self._next_part()

    def _new_station(self) -> None:
        self._boot_id += 1
        self.truth.clear()
        self._station = _Station(self, self._boot_id)

    def _new_controller(self, last_id: int) -> None:
        self._period_ms = self.random.randint(1, 20)
        patience = 2 * DEADLINE_MS // self._period_ms + 4
        self._controller = Controller(self._take, patience, self._guards, last_id)
        self._written = Orders()

    def _next_part(self) -> None:
        """The part before is gone with its decision; a controller that forgets one rejects it."""
        self._part += 1
        self.good = self.random.random() < 0.6

    def _take(self, decision: Decision) -> None:
        self.tally.decisions[decision.why] += 1
        self.tally.duplicates += self._part in self._decided
        self._decided = {self._part}
        self.tally.escapes += decision.passed and not self.good

    def run(self, triggers: int) -> Tally:
        while self.tally.decisions.total() < triggers:
            self.now_ms += 1
            self._station.tick()
            self._restart()
            if self.now_ms % self._period_ms == 0:
                self._cycle()
        self.tally.unanswered += self._station.end()
        return self.tally

    def _cycle(self) -> None:
        before = self.tally.decisions.total()
        last_id = self._controller.last_id
        report = self._gateway.read(self._station.handshake.report, self.now_ms)
        orders = self._controller.scan(report, f"part {self._part}")
        for arrived in self._gateway.write(orders, self._written):
            self._station.receive(arrived)
        self._written = orders
        if self._controller.last_id != last_id:
            self._fate()
        if self.tally.decisions.total() > before:
            self._next_part()

    def _fate(self) -> None:
        """Whether anybody restarts while this part is before the camera."""
        hazards = self.hazards
        for name in ("station_restart", "controller_restart", "power_cut"):
            if self.random.random() < getattr(hazards, name):
                self._restarts.append((self.now_ms + self.random.randint(1, 2 * DEADLINE_MS), name))

    def _restart(self) -> None:
        due = [name for at, name in self._restarts if at <= self.now_ms]
        if not due:
            return
        self._restarts = [(at, name) for at, name in self._restarts if at > self.now_ms]
        if "station_restart" in due or "power_cut" in due:
            self.tally.unanswered += self._station.end()
            self._new_station()
        if "controller_restart" in due or "power_cut" in due:
            # The part in work is not known to the new program: it is cleared from the line as a reject.
            self._new_controller(self._controller.last_id if self.hazards.retentive else 0)
            self._next_part()


def run_model(
    seed: int,
    triggers: int,
    *,
    guards: Guards | None = None,
    hazards: Hazards | None = None,
    faults: Faults | None = None,
) -> Tally:
    """Run until the controller has taken so many decisions; the same seed gives the same run."""
    return _Line(seed, hazards or Hazards(), faults or Faults(), guards or Guards()).run(triggers)
