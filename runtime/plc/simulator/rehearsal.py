"""A rehearsal over the network: real stations and servers on loopback, with a simulated controller, line and worker."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from csflow.runtime.plc.events import Finished
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report
from csflow.runtime.plc.settings import Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.commander import Commander
from csflow.runtime.plc.simulator.controller import Controller, Decision, Guards
from csflow.runtime.plc.simulator.gateway import Faults, Gateway
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.simulator.served import Served
from csflow.runtime.plc.station import Station
from csflow.runtime.plc.worker.inspector import Budget

__all__ = ["CALM", "Account", "Plan", "rehearse"]

CYCLE_S = 0.0005
PATIENCE = 100
UNREACHABLE_S = 0.005
NO_LIMIT = 1 << 30
TELL_S = 10.0


@dataclass(frozen=True)
class Plan:
    """What goes wrong, as probabilities a part."""

    faults: Faults = field(default_factory=lambda: Faults(frozen=0.002, frozen_ms=60))
    misdeeds: Misdeeds = field(default_factory=lambda: Misdeeds(hang=0.002, crash=0.004, late=0.01))
    station_restart: float = 0.002
    controller_restart: float = 0.005
    guards: Guards = field(default_factory=Guards)
    deadline_ms: int = 60
    hang_ms: int = 250
    """After which a worker that does not answer is ended."""
    recipe_every: int = 0
    """Parts between two changes of the recipe; 0 never."""


CALM = Plan(
    Faults(0.0, 0.0, 0.0, 0.0),
    Misdeeds(exposure_s=0.0, processing_s=0.0),
    station_restart=0.0,
    controller_restart=0.0,
    deadline_ms=10_000,
    hang_ms=60_000,
)
"""Nothing goes wrong, and the worker answers at once: what is left is the cost of the handshake."""


@dataclass
class Account:
    """What came of it, counted by both sides."""

    decisions: Counter[str] = field(default_factory=Counter)
    """Of the controller, by reason; '' is a part that passed."""
    terminal: Counter[str] = field(default_factory=Counter)
    """Terminal results of the station, by verdict."""
    escapes: int = 0
    """Defective parts that passed."""
    duplicates: int = 0
    """Terminal results beyond the first of a trigger."""
    unanswered: int = 0
    """Triggers that a station accepted and did not answer, although it was not ended with them in work."""
    restarts: int = 0
    """Stations that were ended and started again."""
    changes: int = 0
    """Recipes that came into force on command."""
    refusals: int = 0
    """Recipes that were refused."""
    missed: int = 0
    """Triggers that the last station refused."""
    latencies_s: list[float] = field(default_factory=list)
    """Seconds from the cycle that raised TRIGGER to the cycle that read the result."""

    @property
    def good(self) -> bool:
        """Nothing escaped, and every trigger was answered once."""
        return not (self.escapes or self.duplicates or self.unanswered)

    def lines(self) -> list[str]:
        """For people."""
        passed, rejected = self.decisions[""], self.decisions["not OK"]
        doubts = {k: n for k, n in sorted(self.decisions.items()) if k not in ("", "not OK")}
        return [
            f"handshakes  {self.decisions.total()}: {passed} passed, {rejected} rejected",
            f"doubts      {sum(doubts.values())} rejected without evidence {doubts or ''}".rstrip(),
            f"station     {dict(sorted(self.terminal.items()))}, {self.restarts} restarts",
            f"recipes     {self.changes} changes, {self.refusals} refused; triggers refused {self.missed}",
            f"escapes     {self.escapes}, duplicates {self.duplicates}, unanswered {self.unanswered}",
            f"latency     {self._latencies()} from TRIGGER written to result read, inspection included",
        ]

    def _latencies(self) -> str:
        ordered = sorted(self.latencies_s)
        if not ordered:
            return "none"
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return ", ".join(f"{k} {1e3 * ordered[int(q * (len(ordered) - 1))]:.1f} ms" for k, q in shares.items())


class _Line:
    """The part before the camera, and the stations that come and go."""

    def __init__(self, folder: Path, seed: int, plan: Plan, serve: Callable[[Exchange], Served]) -> None:
        self.random = random.Random(seed)
        self.account = Account()
        self.good = True
        self.parts = 0
        self._plan, self._serve = plan, serve
        recipe = Recipe("oracle.csflow", "oracle", deadline_ms=plan.deadline_ms)
        station = StationSettings(1, state=str(folder), plc_timeout_ms=0, hang_ms=plan.hang_ms)
        self._settings = Settings(station, {"1": recipe, "2": recipe})
        self.open()

    def open(self) -> None:
        """Start a station and its adapter."""
        self._seen: set[int] = set()
        self._station = Station(self._settings, self._worker, self._finished, Budget(NO_LIMIT))
        counters = self._station.counters
        self._open_before = counters.triggers - counters.completed
        self._served = self._serve(self._station.exchange)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._station.run, args=(self._stop,), name="csflow-station")
        self._thread.start()
        self.link = self._served.link()

    def close(self) -> None:
        """End them, whatever they are at."""
        self._stop.set()
        self._station.exchange.wake()
        self._thread.join()
        self.link.close()
        self._served.close()
        counters = self._station.counters
        self.account.missed = counters.missed
        self.account.unanswered += counters.triggers - counters.completed - self._open_before - self._station.busy
        self._station.close()

    def _worker(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> OracleWorker:
        generator = random.Random(self.random.random())
        return OracleWorker(recipe, wake, lambda: self.good, generator, self._plan.misdeeds, hold)

    def _finished(self, done: Finished) -> None:
        self.account.duplicates += done.ticket in self._seen
        self._seen.add(done.ticket)
        self.account.terminal[done.finding.verdict.name] += 1

    def next_part(self) -> None:
        """The part before the camera is another."""
        self.parts += 1
        self.good = self.random.random() < 0.6


class _Plc:
    """A controller behind a gateway."""

    def __init__(self, line: _Line, plan: Plan) -> None:
        self._line, self._plan = line, plan
        self._gateway = Gateway(line.random, plan.faults)
        self._report, self._written = Report(), Orders()
        self._cycles = 0
        self._due: list[tuple[int, Callable[[], None]]] = []
        self._controller = self._program(0)
        self._triggered_s = 0.0
        self._commander = Commander(plan.recipe_every, (1, 2))

    def _program(self, last_id: int) -> Controller:
        patience = PATIENCE + int(self._plan.deadline_ms / 1e3 / CYCLE_S)
        return Controller(self._take, patience, self._plan.guards, last_id)

    def _take(self, decision: Decision) -> None:
        account = self._line.account
        account.decisions[decision.why] += 1
        account.escapes += decision.passed and not self._line.good
        if decision.why in ("", "not OK"):
            account.latencies_s.append(time.monotonic() - self._triggered_s)
        self._line.next_part()

    def cycle(self) -> None:
        """Read, scan, write; then whatever is due to go wrong."""
        self._cycles += 1
        with self._unreachable():
            self._report = self._gateway.read(self._line.link.read(), int(time.monotonic() * 1e3))
        last_id = self._controller.last_id
        orders = self._controller.scan(self._report, f"part {self._line.parts}")
        if self._controller.last_id != last_id:
            self._triggered_s = time.monotonic()
            self._fate()
        orders = self._commander.scan(orders, self._report, self._line.parts)
        self._line.account.changes, self._line.account.refusals = self._commander.changes, self._commander.refusals
        for arriving in self._gateway.write(orders, self._written):
            with self._unreachable():
                self._line.link.write(arriving)
        self._written = orders
        while self._due and self._due[0][0] <= self._cycles:
            self._due.pop(0)[1]()
        time.sleep(CYCLE_S)

    @contextlib.contextmanager
    def _unreachable(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            time.sleep(UNREACHABLE_S)

    def _fate(self) -> None:
        chance = self._line.random
        for probability, happen in (
            (self._plan.station_restart, self._restart_station),
            (self._plan.controller_restart, self._restart_controller),
        ):
            if chance.random() < probability:
                self._due.append((self._cycles + chance.randint(0, 8), happen))
        self._due.sort(key=lambda due: due[0])

    def _restart_station(self) -> None:
        self._line.close()
        self._line.account.restarts += 1
        self._line.open()

    def _restart_controller(self) -> None:
        # The part in work is not known to the new program: it is cleared from the line as a reject.
        self._controller = self._program(self._controller.last_id)
        self._line.next_part()


def rehearse(
    handshakes: int,
    serve: Callable[[Exchange], Served],
    seed: int = 0,
    plan: Plan | None = None,
    tell: Callable[[Account], None] | None = None,
) -> Account:
    """Let a controller take so many decisions about the parts of a simulated line.

    Args:
        handshakes: decisions.
        serve: opens the adapter under test for a station.
        seed: of everything random; times are real, so that two runs differ all the same.
        plan: what goes wrong.
        tell: is told every ten seconds how far it is; may raise to end the rehearsal.
    """
    plan = plan or Plan()
    told_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        line = _Line(Path(folder), seed, plan, serve)
        try:
            plc = _Plc(line, plan)
            while line.account.decisions.total() < handshakes:
                plc.cycle()
                if tell is not None and time.monotonic() - told_s >= TELL_S:
                    told_s = time.monotonic()
                    tell(line.account)
        finally:
            line.close()
    return line.account
