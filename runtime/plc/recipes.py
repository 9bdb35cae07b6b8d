"""The recipe in force and the one that is prepared beside it: two workers at most, and one command at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from csflow.runtime.faults import Reason
from csflow.runtime.plc.events import CommandEnded, Event, Execute
from csflow.runtime.plc.settings import Settings
from csflow.runtime.plc.states import Command
from csflow.runtime.plc.worker.inspector import Budget, Inspector, Limits
from csflow.runtime.plc.worker.process import Start

__all__ = ["Recipes"]


CROSSING_S = 0.1
"""READY falls so long before a recipe is changed: what a controller has sent by then finds the one it saw."""


class Recipes:
    """Keeps one inspector running; `step` is called at each scan and never waits."""

    def __init__(
        self, settings: Settings, number: int, start: Start, wake: Callable[[], None], budget: Budget | None = None
    ) -> None:
        """Start the worker of recipe `number`; 0, or one that is no more, starts none."""
        station = settings.station
        self._settings, self._start, self._wake = settings, start, wake
        self._limits = Limits(float(station.start_timeout_s), station.hang_ms / 1e3)
        self.budget = budget or Budget()
        self.running = self._inspector(number, self.budget)
        self._prepared: Inspector | None = None
        self._leaving: Inspector | None = None
        self._changing = False
        self._parting_s: float | None = None
        self._testing = False
        self.refusal = ""
        """Why the last recipe was refused, in words."""

    def _inspector(self, number: int, budget: Budget, hold: bool = False) -> Inspector | None:
        recipe = self._settings.recipe(number)
        return None if recipe is None else Inspector(recipe, self._start, budget, self._limits, self._wake, hold=hold)

    @property
    def number(self) -> int:
        """The recipe in force, whether or not its worker is ready; 0 for none."""
        return 0 if self.running is None else self.running.recipe.number

    @property
    def parting(self) -> bool:
        """Whether the recipe in force is about to be replaced."""
        return self._parting_s is not None

    def execute(self, order: Execute) -> list[Event]:
        """Begin what a command asks; `step` tells its end where it is not told here."""
        if order.command is Command.PREPARE_RECIPE:
            return self._prepare(order.argument)
        if order.command is Command.UNPREPARE_RECIPE:
            self._replace(None)
        elif order.command is Command.SELF_TEST and self.running is not None:
            self._testing = True
            self.running.self_test()
            return []
        elif order.command is Command.RESET:
            self.budget.renew()
            if self.running is not None:
                self.running.reset()
        return [CommandEnded()]

    def _prepare(self, number: int) -> list[Event]:
        # No restarts: a recipe whose worker does not come up is refused, and the running one stays.
        self._prepared = self._inspector(number, Budget(0), hold=True)
        if self._prepared is None:
            self.refusal = f"there is no recipe {number} in station.toml"
            return [CommandEnded(Reason.UNKNOWN_RECIPE)]
        return []

    def _replace(self, inspector: Inspector | None) -> None:
        if self.running is not None:
            self.running.close()
        self.running = inspector

    def step(self, idle: bool) -> list[Event]:
        """What happened; with `idle` no part is in work, and a recipe that is prepared comes into force."""
        events = [] if self.running is None else self.running.step()
        events += self._tested()
        if self._prepared is not None:
            self._prepared.step()
            events += self._swapped(self._prepared, idle)
        return events + self._handed_over()

    def _tested(self) -> list[Event]:
        running = self.running
        if not self._testing or running is None or (running.ready is None and not running.fault):
            return []
        self._testing = False
        return [CommandEnded(running.fault)]

    def _swapped(self, prepared: Inspector, idle: bool) -> list[Event]:
        if prepared.latched:
            self._prepared = self._parting_s = None
            self.refusal = f"recipe {prepared.recipe.number} was refused: {prepared.words}"
            return [CommandEnded(prepared.cause)]
        if prepared.held and self._parting_s is None:
            self._parting_s = time.monotonic()
        if self._parting_s is not None and idle and time.monotonic() - self._parting_s >= CROSSING_S:
            self._prepared = self._parting_s = None
            prepared.budget = self.budget
            self.refusal, self._leaving, self._changing = "", self.running, True
            self._replace(prepared)
        return []

    def _handed_over(self) -> list[Event]:
        """The camera goes from the recipe that was in force to the one that is: no trigger is taken meanwhile."""
        running = self.running
        if running is None or not self._changing:
            return []
        if running.held and (self._leaving is None or self._leaving.ended):
            self._leaving = None
            running.open_camera()
        if running.ready is None and not running.fault:
            return []
        self._changing = False
        return [CommandEnded(running.fault)]

    def close(self) -> None:
        """End every worker."""
        self._replace(None)
        if self._prepared is not None:
            self._prepared.close()
            self._prepared = None
