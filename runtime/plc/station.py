"""The station: one scan reads what the controller wants and what workers say, steps the handshake, and publishes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from csflow.runtime.faults import Reason
from csflow.runtime.plc.commissioning.journal import Journal
from csflow.runtime.plc.durable import Durable
from csflow.runtime.plc.events import (
    Abandon,
    Action,
    Begin,
    Condition,
    Counters,
    Decided,
    Event,
    Execute,
    Finished,
    Health,
    Overdue,
)
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.finding import failure
from csflow.runtime.plc.handshake import Handshake
from csflow.runtime.plc.host import Host
from csflow.runtime.plc.process_image import Orders, Report
from csflow.runtime.plc.recipes import Recipes
from csflow.runtime.plc.settings import Settings
from csflow.runtime.plc.worker.inspector import Budget, Inspector
from csflow.runtime.plc.worker.process import Start

__all__ = ["Station"]

IDLE_S = 0.05
"""Longest time between two scans."""
HEARTBEAT_S = 0.1
OWNER_WARNING_S = 10.0

log = logging.getLogger("csflow.plc")


class Station:
    """Ties handshake, recipes, workers and what survives together; adapters meet it in `exchange`."""

    def __init__(
        self,
        settings: Settings,
        start: Start,
        finished: Callable[[Finished], None] | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Begin a new boot and start the worker of the recipe in force.

        Args:
            settings: station.toml.
            start: makes a worker for a recipe.
            finished: takes each terminal result, in the scan: it must not wait.
            budget: restarts of workers; three in ten minutes where None.

        Raises OSError where the folder for the state cannot be written, ConfigError where another station has it.
        """
        station = settings.station
        self.exchange = Exchange({int(number): one.name for number, one in settings.recipes.items()})
        self._durable = Durable(settings.folder / station.state, station.recipe)
        if self._durable.words:
            log.error("%s", self._durable.words)
        kept = self._durable.kept
        self._handshake = Handshake(
            kept.boot_id, station.automatic, replace(kept.counters), self._durable.first_result_id
        )
        self._host = Host(settings.folder / station.state)
        self._recipes = Recipes(settings, kept.recipe, start, self.exchange.wake, budget)
        self._settings = settings
        self._finished = finished
        self._silence_ns = station.plc_timeout_ms * 1_000_000
        self._deadlines: dict[int, int] = {}
        self._pending: list[Event] = []
        self._begun_s = self._beat_s = time.monotonic()
        self._heartbeat = 0
        self._plc_beat = (0, time.monotonic_ns())
        self._stuck = 0
        self._client_lost_s = -OWNER_WARNING_S
        self._problems = ("", "", "")
        self._camera: tuple[Inspector | None, bool] = (None, False)
        self._reconnects = 0
        self.journal = Journal()
        """The last handshakes, step by step."""

    @property
    def counters(self) -> Counters:
        """What was counted; read it from the thread that scans, or when none does."""
        return self._handshake.counters

    @property
    def busy(self) -> bool:
        """Whether a part is in work."""
        return self._handshake.ticket != 0

    def run(self, stop: threading.Event, beat: Callable[[], None] | None = None) -> None:
        """Scan until `stop` is set; `beat` is called at each turn."""
        while not stop.is_set():
            self.scan()
            if beat is not None:
                beat()
            self.exchange.wait(self._pause_s())

    def _pause_s(self) -> float:
        if self._pending:
            return 0.0
        due = min(self._deadlines.values(), default=None)
        return IDLE_S if due is None else min(IDLE_S, max(0.0, (due - time.monotonic_ns()) / 1e9))

    def scan(self) -> None:
        """Once round."""
        now_ns = time.monotonic_ns()
        orders = self._orders(now_ns)
        events, self._pending = self._pending, []
        # Before the answers: one that is read after the deadline is late, whenever it was written.
        events += [Overdue(ticket) for ticket, due in self._deadlines.items() if due <= now_ns]
        events += self._recipes.step(idle=self._handshake.ticket == 0)
        report, actions = self._handshake.step(orders, self._condition(now_ns), events)
        self.exchange.publish(report)
        for action in actions:
            self._do(action, now_ns)
        self._durable.note(self._handshake.result_id, self._recipes.number, self._handshake.counters)
        self._tell(report, orders, now_ns / 1e9)

    def _orders(self, now_ns: int) -> Orders:
        """What the controller wants; nothing where its heartbeat stands still, and until it counts again."""
        orders, lost = self.exchange.take(self._silence_ns)
        if orders.heartbeat and orders.heartbeat == self._stuck:
            # A gateway that goes on writing what its controller wrote last must not have control again and again.
            self.exchange.leave(self.exchange.holder)
            return Orders()
        if orders.heartbeat != self._plc_beat[0]:
            self._plc_beat = (orders.heartbeat, now_ns)
        still = orders.heartbeat and self._silence_ns and now_ns - self._plc_beat[1] > self._silence_ns
        if still:
            lost, self._stuck = self.exchange.holder, orders.heartbeat
            self.exchange.leave(lost)
        elif orders.heartbeat:
            self._stuck = 0
        if lost:
            self._client_lost_s = time.monotonic()
            self._complain(f"control was taken from {lost}: no sign of it for {self._silence_ns // 1_000_000} ms")
        return Orders() if still else orders

    def _condition(self, now_ns: int) -> Condition:
        running = self._recipes.running
        ready = running is not None and running.ready is not None
        now_s = now_ns / 1e9
        if now_s - self._beat_s >= HEARTBEAT_S and (running is None or not ready or running.alive):
            self._beat_s = now_s
            self._heartbeat += 1
        return Condition(
            recipe=running.recipe.number if running is not None and ready else 0,
            recipe_crc=running.crc if running is not None else 0,
            parting=self._recipes.parting,
            fault=Reason.NONE if running is None else running.fault,
            warning=self._warning(now_s),
            heartbeat=self._heartbeat & 0xFFFF,
            health=self._health(now_s),
        )

    def _health(self, now_s: float) -> Health:
        running = self._recipes.running
        away = running is not None and bool(running.away)
        self._reconnects += self._camera == (running, True) and not away
        self._camera = (running, away)
        return Health(
            worker_restarts=self._recipes.budget.total,
            camera_reconnects=self._reconnects,
            uptime_s=int(now_s - self._begun_s),
            temperature_x10=self._host.temperature_x10,
            free_disk_mb=self._host.free_disk_mb,
        )

    def _warning(self, now_s: float) -> Reason:
        running = self._recipes.running
        if now_s - self._client_lost_s < OWNER_WARNING_S:
            return Reason.CLIENT_LOST
        if running is not None and running.away:
            return Reason.CAMERA_LOST
        return Reason.DISK if self._durable.words else Reason.NONE

    def _do(self, action: Action, now_ns: int) -> None:
        running = self._recipes.running
        if isinstance(action, Begin):
            if running is None:
                self._pending.append(Decided(action.ticket, failure(Reason.BUSY, "no recipe")))
                return
            deadline_ms = action.deadline_ms or running.recipe.deadline_ms
            self._deadlines[action.ticket] = now_ns + deadline_ms * 1_000_000
            running.ask(action, now_ns, deadline_ms)
        elif isinstance(action, Abandon):
            self._deadlines.pop(action.ticket, None)
            if running is not None:
                running.abandon(action.ticket)
        elif isinstance(action, Execute):
            self._pending += self._recipes.execute(action)
        else:
            self._deadlines.pop(action.ticket, None)
            if self._finished is not None:
                self._finished(action)

    def _tell(self, report: Report, orders: Orders, now_s: float) -> None:
        """A line in the log for each change that people should know of."""
        said, wrong = self.journal.see(report, orders, now_s)
        running = self._recipes.running
        problems = ("" if running is None else running.words, self._recipes.refusal, self._durable.words)
        wrong += [text for text, before in zip(problems, self._problems, strict=True) if text and text != before]
        self._problems = problems
        for text in wrong:
            self._complain(text)
        for text in said:
            log.info("%s", text)

    def _complain(self, text: str) -> None:
        log.warning("%s", text)
        self.journal.complain(text, time.monotonic())

    def close(self) -> None:
        """End the workers and write the state."""
        self._recipes.close()
        self._host.close()
        self._durable.close()
