"""Digital outputs: READY, OK, NOK and BUSY as levels of GPIO lines, and a digital input as trigger.

    OK    NOK    a result stands, and the part is
    1     0      good
    0     1      anything else
    0     0      no result: whoever waits for one rejects
    1     1      never given: reject

Every line is 0 before the station is ready, at its end, and where its heartbeat stands still. The kernel keeps no level
when the process dies: pull each line to 0 in hardware. Extra: gpio.
"""

from __future__ import annotations

import logging
import threading
import time

from csflow.runtime.errors import ConfigError, CSFlowError, EndOfStream
from csflow.runtime.faults import Verdict
from csflow.runtime.machine.levels import Levels, line_of
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.settings import Digital
from csflow.runtime.trigger import Request, Trigger, open_trigger

__all__ = ["DigitalPort", "levels"]

STEP_S = 0.05
STALE_S = 1.0
"""A heartbeat that stands still for so long is no station."""
LATE_S = 0.5
"""An edge that waited for so long is no part any more: what the camera shows now may be the next one."""
JOIN_S = 3.0

log = logging.getLogger("csflow.plc")


def levels(report: Report) -> dict[str, bool]:
    """The level of each output for a report."""
    valid = bool(report.status & Status.RESULT_VALID)
    ok = valid and report.verdict == Verdict.OK.code
    return {
        "ready": bool(report.status & Status.READY),
        "ok": ok,
        "nok": valid and not ok,
        "busy": bool(report.status & Status.BUSY),
    }


class DigitalPort:
    """See the module. Outputs follow the report in one thread; with control a second one makes parts of edges."""

    def __init__(self, settings: Digital, exchange: Exchange, controls: bool) -> None:
        """Take the lines, all at 0.

        Raises:
            ConfigError: no outputs, one line for two of them, or control without a trigger line.
            BackendUnavailable: gpiod is missing.
            SourceError: no such chip or line, or another program has it.
        """
        self.name = f"digital {settings.chip}"
        self._settings, self._exchange = settings, exchange
        self._outputs = _outputs(settings, controls)
        self._levels = Levels(settings.chip, self._outputs, "[digital]")
        self._number = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._follow, name="csflow-plc-digital", daemon=True)]
        try:
            if controls:
                trigger = open_trigger(settings.trigger_uri)
                dialogue = Dialogue(exchange, self.name)
                self._threads.append(
                    threading.Thread(target=self._ask, args=(trigger, dialogue), name="csflow-plc-input", daemon=True)
                )
        except BaseException:
            self._levels.release()
            raise
        for thread in self._threads:
            thread.start()

    def _follow(self) -> None:
        published, heartbeat, seen_s = self._exchange.published, -1, time.monotonic()
        try:
            while not self._stop.is_set():
                if published.report.heartbeat != heartbeat:
                    heartbeat, seen_s = published.report.heartbeat, time.monotonic()
                stale = time.monotonic() - seen_s > STALE_S
                self._levels.set(() if stale else _active(published.report))
                published = self._exchange.wait_report(published.number, STEP_S)
            self._levels.set(())
        except OSError as error:
            log.error("%s: an output cannot be set (%s): its level is what the hardware pulls it to", self.name, error)
        finally:
            self._levels.release()

    def _ask(self, trigger: Trigger, dialogue: Dialogue) -> None:
        try:
            with trigger:
                while not self._stop.is_set():
                    dialogue.keep()
                    if trigger_came := trigger.next(STEP_S):
                        self._part(trigger, dialogue, trigger_came)
        except (CSFlowError, EndOfStream) as error:
            log.error("%s: no more triggers: %s", self.name, error)
        finally:
            dialogue.leave()

    def _next(self) -> int:
        self._number = self._number % 0xFFFFFFFF + 1
        return self._number

    def _part(self, trigger: Trigger, dialogue: Dialogue, request: Request) -> None:
        waited_s = (time.monotonic_ns() - request.since_ns) / 1e9
        if waited_s > LATE_S:
            dialogue.miss(0)  # no part's id: it is refused though the station may be ready
            log.warning("%s: a trigger was refused: it had waited for %.1f s", self.name, waited_s)
            return
        if request.missed or (reason := dialogue.trigger(self._next())):
            log.warning("%s: a trigger was refused: %s", self.name, "too many" if request.missed else reason.meaning)
            return
        while (report := dialogue.result(STEP_S)) is None and dialogue.open and not self._stop.is_set():
            dialogue.sign()
        if report is None:
            return
        self._stop.wait(self._settings.pulse_ms / 1e3)
        # Edges that came meanwhile, of a contact that bounces, are no parts: the station was not ready.
        while trigger.next(0.0):
            dialogue.miss(self._next())
        dialogue.acknowledge()

    @property
    def alive(self) -> bool:
        """Whether outputs follow, and the input is read where it has control."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Every output to 0, then give the lines back. May be called twice."""
        self._stop.set()
        self._exchange.wake()
        for thread in self._threads:
            thread.join(JOIN_S)


def _outputs(settings: Digital, controls: bool) -> dict[str, int | str]:
    named = {name: getattr(settings, name) for name in ("ready", "ok", "nok", "busy")}
    lines = {name: line_of(text) for name, text in named.items() if text}
    if not {"ok", "nok"} <= set(lines) or len(set(lines.values())) < len(lines):
        raise ConfigError("[digital] needs a line each for ok and nok, and no line for two outputs")
    if controls and not settings.trigger:
        raise ConfigError("[digital] has control and no trigger: name the line of its input")
    return lines


def _active(report: Report) -> list[str]:
    return [name for name, level in levels(report).items() if level]
