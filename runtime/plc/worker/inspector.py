"""The worker of one recipe under supervision: whatever it does, every job ends with a finding."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from csflow.runtime.errors import SourceLost
from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc.events import Begin, Decided, Event, Exposed
from csflow.runtime.plc.finding import Finding, failure
from csflow.runtime.plc.settings import Recipe
from csflow.runtime.plc.worker.process import Start, Worker
from csflow.runtime.triggers import pipe_message as pipe

__all__ = ["Budget", "Inspector", "Limits"]

RESTARTS = 3
RESTART_WINDOW_S = 600.0
PING_S = 0.25
PONG_S = 0.25
MENDS_NOTHING = frozenset(
    {Reason.SELF_TEST, Reason.BUNDLE, Reason.ENGINE, Reason.NOT_CALIBRATED, Reason.UNVERIFIED, Reason.CONFIGURATION}
)
"""Faults that another start of the same worker does not cure."""
_VERDICTS = {v.code: v for v in Verdict}
_REASONS = {int(r): r for r in Reason}


class Budget:
    """Restarts that are allowed: so many within ten minutes, then none until somebody looks."""

    def __init__(self, restarts: int = RESTARTS, window_s: float = RESTART_WINDOW_S) -> None:
        self._restarts, self._window_s = restarts, window_s
        self._spent: deque[float] = deque()
        self.total = 0
        """Restarts since the start of csflow."""

    def spend(self, now_s: float) -> bool:
        """Whether one more restart is allowed now; it is counted."""
        while self._spent and now_s - self._spent[0] > self._window_s:
            self._spent.popleft()
        if len(self._spent) >= self._restarts:
            return False
        self._spent.append(now_s)
        self.total += 1
        return True

    def renew(self) -> None:
        """Somebody has looked."""
        self._spent.clear()


class Limits:
    """How long a worker may take, in seconds."""

    def __init__(self, start_s: float = 900.0, hang_s: float = 10.0) -> None:
        self.start_s, self.hang_s = start_s, hang_s


class Inspector:
    """Starts, asks, watches and restarts the worker of one recipe. Never waits; `step` is called often."""

    def __init__(
        self,
        recipe: Recipe,
        start: Start,
        budget: Budget,
        limits: Limits,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        hold: bool = False,
    ) -> None:
        """Start the worker.

        Args:
            recipe: what it inspects.
            start: makes a worker.
            budget: restarts, shared by all inspectors of a station.
            limits: of time.
            wake: called from any thread when `step` has something to do.
            clock: seconds, monotonic.
            hold: keep the camera closed until `open_camera`.
        """
        self.recipe = recipe
        self.ready: pipe.Ready | None = None
        """What the worker is, once its golden frames passed; None while it may not be asked."""
        self.fault = Reason.NONE
        """Why it cannot be asked; NONE while it starts for the first time."""
        self.words = ""
        """The same for people."""
        self.held = False
        """The golden frames passed, and the camera is closed."""
        self.away = ""
        """Why the camera is away."""
        self.latched = False
        """No restart any more: see `fault`."""
        self.cause = Reason.NONE
        """Why the worker was lost the last time."""
        self.budget = budget
        self._start, self._limits = start, limits
        self._wake, self._clock = wake, clock
        self._open: dict[str, tuple[int, int]] = {}
        self._events: list[Event] = []
        self._worker: Worker | None = None
        self._closed: Worker | None = None
        self._pings = self._answered = self._crc = 0
        self._begin(hold)

    @property
    def crc(self) -> int:
        """The recipe's number for what is in force; 0 before `ready`."""
        return 0 if self.ready is None else self._crc

    @property
    def alive(self) -> bool:
        """Whether the worker's loop turns, as far as is known: one that has a part in work need not show it."""
        waiting = self._pings > self._answered and self._clock() - self._pinged_s > PONG_S
        return self.ready is not None and (bool(self._open) or not waiting)

    def _begin(self, hold: bool = False) -> None:
        self.ready, self.held = None, False
        self._since_s = self._heard_s = self._pinged_s = self._clock()
        self._pings = self._answered = 0
        try:
            self._worker = self._start(self.recipe, self._wake, hold)
        except (OSError, SourceLost) as error:
            self._lose(Reason.WORKER_CRASHED, f"the worker does not start ({error})")

    def ask(self, job: Begin, since_ns: int, deadline_ms: int) -> None:
        """Have a part inspected; `step` gives its finding, at the latest when the worker is lost."""
        name = str(job.ticket)
        self._open[name] = (job.ticket, since_ns)
        self._send(pipe.Ask(name, since_ns, deadline_ms, job.part_id))

    def abandon(self, ticket: int) -> None:
        """Nobody waits for this part any more."""
        self._open.pop(str(ticket), None)

    def open_camera(self) -> None:
        """Nobody else has the camera any more; `ready` follows."""
        self.held = False
        self._since_s = self._clock()
        self._send(pipe.Open())

    @property
    def ended(self) -> bool:
        """Whether the worker that was closed has let go of its camera."""
        return self._closed is None or self._closed.ended

    def self_test(self) -> None:
        """Score the golden frames again; until they passed nothing may be asked."""
        self.ready = None
        self._since_s = self._clock()
        self._send(pipe.SelfTest())

    def reset(self) -> None:
        """Somebody has looked: start again where there is no worker."""
        self.latched = False
        if self._worker is None:
            self._begin()

    def step(self) -> list[Event]:
        """What has happened since the last call; restarts what is lost."""
        worker = self._worker
        if worker is not None:
            try:
                for message in worker.receive():
                    if self._worker is worker:  # what follows its end is not of the next one
                        self._take(message)
            except SourceLost as error:
                self._lose(Reason.WORKER_CRASHED, str(error))
        self._watch(self._clock())
        events, self._events = self._events, []
        return events

    def _take(self, message: pipe.Message) -> None:
        self._heard_s = self._clock()
        if isinstance(message, pipe.Ready):
            self.ready, self.fault, self.words = message, Reason.NONE, ""
            self._crc = self.recipe.crc(message.bundle_sha256, message.calibration_sha256, message.engine)
        elif isinstance(message, pipe.Held):
            self.held = True
        elif isinstance(message, pipe.Pong):
            self._answered, self.away = message.number, message.away
        elif isinstance(message, pipe.Failed):
            self._lose(_reason(message.reason) or Reason.WORKER_CRASHED, message.words)
        elif isinstance(message, pipe.Exposed) and message.id in self._open:
            self._events.append(Exposed(self._open[message.id][0]))
        elif isinstance(message, pipe.Answer) and message.id in self._open:
            ticket, since_ns = self._open.pop(message.id)
            self._events.append(Decided(ticket, _finding(message, since_ns, self.recipe, self.crc)))

    def _watch(self, now_s: float) -> None:
        if self._worker is None:
            return
        if self.ready is None:
            if now_s - self._since_s > self._limits.start_s:
                self._lose(Reason.WORKER_HUNG, f"the worker was not ready within {self._limits.start_s:g} s")
            return
        if self._pings > self._answered and now_s - max(self._heard_s, self._since_s) > self._limits.hang_s:
            self._lose(Reason.WORKER_HUNG, f"the worker has not answered for {self._limits.hang_s:g} s")
        elif self._pings == self._answered and now_s - self._pinged_s >= PING_S:
            self._pings += 1
            self._pinged_s = now_s
            self._send(pipe.Ping(self._pings))

    def _send(self, message: pipe.Message) -> None:
        if self._worker is None:
            self._fail_open(self.fault or Reason.WORKER_CRASHED, "there is no worker")
            return
        try:
            self._worker.send(message)
        except SourceLost as error:
            gone = isinstance(error.__cause__, BrokenPipeError)
            self._lose(Reason.WORKER_CRASHED if gone else Reason.WORKER_HUNG, str(error))

    def _lose(self, reason: Reason, words: str) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._worker = self.ready = None
        self.fault, self.words, self.cause = reason, words, reason
        self._fail_open(reason, words)
        if reason in MENDS_NOTHING:
            self.latched = True
        elif self.budget.spend(self._clock()):
            self._begin()
        else:
            self.latched, self.fault = True, Reason.RESTART_LIMIT
            self.words = f"restarted too often, the last time because: {words}"

    def _fail_open(self, reason: Reason, words: str) -> None:
        self._events += [Decided(ticket, failure(reason, words)) for ticket, _ in self._open.values()]
        self._open.clear()
        self._wake()

    def close(self) -> None:
        """End the worker in order. May be called twice."""
        worker, self._worker, self.ready = self._worker, None, None
        if worker is not None:
            self._closed = worker
            worker.close()


def _reason(number: int) -> Reason:
    return _REASONS.get(number, Reason.INTERNAL)


def _finding(answer: pipe.Answer, since_ns: int, recipe: Recipe, crc: int) -> Finding:
    verdict = _VERDICTS.get(answer.verdict, Verdict.ERROR)
    reason = _reason(answer.reason)
    if verdict is Verdict.UNCERTAIN and recipe.uncertain == "accept":
        verdict, reason = Verdict.OK, Reason.NONE
    stale = Quality.FRAME_STALE if answer.captured_ns < since_ns else Quality.NONE
    return Finding(
        verdict,
        reason,
        Quality(answer.quality) | stale,
        _number(answer.score),
        _number(answer.threshold),
        _number(answer.p_value),
        recipe.number,
        crc,
        (answer.peak_x, answer.peak_y),
        max(0.0, (answer.captured_ns - since_ns) / 1e6),
        1e3 * _number(answer.latency_s),
        1e3 * _number(answer.age_s),
        answer.words,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
