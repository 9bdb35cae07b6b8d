"""A digital input as trigger: every edge of a GPIO line is one request, stamped by the kernel when it came.

gpio:/dev/gpiochip0:17                                          a line by its number
gpio:/dev/gpiochip0:PART_PRESENT?edge=falling&debounce_ms=5     or by its name, with options
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from csflow.runtime.errors import BackendUnavailable, ConfigError, SourceError, SourceLost
from csflow.runtime.machine.install import pip_install
from csflow.runtime.options import Option, read_options
from csflow.runtime.triggers.pending import PendingTrigger

if TYPE_CHECKING:
    import gpiod

__all__ = ["GpioTrigger"]

POLL_S = 0.2
JOIN_S = 2.0
KERNEL_EVENTS = 64
"""Edges that the kernel keeps until they are read; beyond it the oldest is lost, which their numbers tell."""
LONGEST_DEBOUNCE_MS = 1000.0
EDGES = {"rising": "RISING", "falling": "FALLING"}
BIASES = {"as-is": "AS_IS", "pull-up": "PULL_UP", "pull-down": "PULL_DOWN", "off": "DISABLED"}


def _one_of(names: dict[str, str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return names[text]

    return parse


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= LONGEST_DEBOUNCE_MS:
        raise ValueError(text)
    return value


OPTIONS: dict[str, Option] = {
    "edge": (_one_of(EDGES), " or ".join(EDGES)),
    "debounce_ms": (_milliseconds, "5 (0 to 1000)"),
    "bias": (_one_of(BIASES), ", ".join(BIASES)),
}


class GpioTrigger(PendingTrigger):
    """One request an edge; the results go to the sinks alone. Edges lost before they were read are missed requests."""

    def __init__(self, text: str) -> None:
        """Take the line for oneself until `close`.

        Raises:
            ConfigError: `text` is not 'gpio:CHIP:LINE' with options.
            BackendUnavailable: gpiod is not installed, or is older than version 2.
            SourceError: no such chip or line, another program has it, or it cannot do what the options ask.
        """
        place, _, query = text.partition("?")
        chip, _, line = place.removeprefix("gpio:").rpartition(":")
        if not chip.startswith("/") or not line:
            raise ConfigError(
                f"no GPIO line {text!r}: expected gpio:/dev/gpiochip0:17, or a line's name for the number"
            )
        options = read_options(text, query, OPTIONS)
        super().__init__(place)
        self._lines = _request(chip, int(line) if line.isdecimal() else line, place, options)
        self._seen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="csflow-trigger", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                # A chip that goes while one waits does not always wake who waits, hence the time limit.
                if self._lines.wait_edge_events(POLL_S):
                    self._take(self._lines.read_edge_events())
        except OSError as error:
            why = error.strerror or str(error)
            self._pending.end(SourceLost(f"{self.name} is gone ({why}): plug its chip in again, then start again"))
        finally:
            self._lines.release()

    def _take(self, events: list[gpiod.EdgeEvent]) -> None:
        for event in events:
            for _ in range(event.line_seqno - self._seen - 1):
                self._pending.wait_for_room()
                self._pending.add("", event.timestamp_ns, missed=True)
            self._seen = event.line_seqno
            self._pending.wait_for_room()
            self._pending.add("", event.timestamp_ns)

    def close(self) -> None:
        """Give the line back. May be called twice."""
        super().close()
        self._stop.set()
        self._thread.join(JOIN_S)


def _request(chip: str, line: int | str, name: str, options: dict[str, Any]) -> gpiod.LineRequest:
    try:
        import gpiod
        from gpiod.line import Bias, Clock, Direction, Edge
    except ImportError as error:
        raise BackendUnavailable(
            f"{name} needs gpiod 2, which does not load ({error}); install it with: {pip_install('gpio')}"
        ) from None
    settings = gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge[options.get("edge", "RISING")],
        bias=Bias[options.get("bias", "AS_IS")],
        debounce_period=timedelta(milliseconds=options.get("debounce_ms", 0.0)),
        event_clock=Clock.MONOTONIC,
    )
    try:
        return gpiod.request_lines(chip, {line: settings}, consumer="csflow", event_buffer_size=KERNEL_EVENTS)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{name} cannot be used as an input with edges ({why}): 'gpioinfo' lists chips, lines and who has them; "
            "your user must be allowed to open the chip"
        ) from None
