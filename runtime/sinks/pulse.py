"""Verdicts as pulses of two GPIO lines, for lines without a controller: OK energises to pass, NOK to reject.

gpio:/dev/gpiochip0?ok=17&nok=27                                     lines by their numbers
gpio:/dev/gpiochip0?ok=PASS&nok=REJECT&pulse_ms=200&active=low       or by their names, with options
gpio:/dev/gpiochip0?ok=17&nok=27&busy=22                             and one that says when a verdict is awaited

    OK    NOK
    1     0      for the length of the pulse: the part is good, and a verified engine says so
    0     1      for the length of the pulse: NOK, UNCERTAIN, or OK of an engine that is not verified
    0     0      no verdict: before the first, between pulses, at ERROR, at the end
    1     1      never

BUSY rises with a trigger and falls with its verdict: at its fall OK or NOK has risen, or neither will. Without a
trigger it rises with the picture.
"""

from __future__ import annotations

import threading
import time

from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.machine.levels import Levels, line_of
from csflow.runtime.options import Option, read_options
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["PulseSink"]

PULSE_MS = 100.0
LONGEST_PULSE_MS = 10_000.0
GAP_S = 0.005
"""Between two pulses, and between two parts of BUSY, so that they are two for whoever counts edges."""
LATEST_S = 1.0
"""A verdict that could not be shown for so long is about another part."""
JOIN_S = 2.0


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= LONGEST_PULSE_MS:
        raise ValueError(text)
    return value


def _active_low(text: str) -> bool:
    if text not in ("low", "high"):
        raise ValueError(text)
    return text == "low"


OPTIONS: dict[str, Option] = {
    "ok": (line_of, "17"),
    "nok": (line_of, "27"),
    "busy": (line_of, "22"),
    "pulse_ms": (_milliseconds, "100 (1 to 10000)"),
    "active": (_active_low, "high or low"),
}


class PulseSink:
    """See the module. `write` hands over and returns; a thread of its own holds the pulses."""

    def __init__(self, text: str) -> None:
        """Take the lines, both inactive.

        Raises:
            ConfigError: `text` is not as in the module, or names no line for ok or nok, or one line twice.
            BackendUnavailable: gpiod is missing.
            SourceError: no such chip or line, or another program has it.
        """
        place, _, query = text.partition("?")
        chip = place.removeprefix("gpio:")
        options = read_options(text, query, OPTIONS)
        if chip == place or not chip.startswith("/"):
            raise ConfigError(f"no output {text!r}: expected gpio:/dev/gpiochip0?ok=17&nok=27")
        lines: dict[str, int | str] = {name: options[name] for name in ("ok", "nok", "busy") if name in options}
        if not {"ok", "nok"} <= set(lines) or len(set(lines.values())) < len(lines):
            raise ConfigError(f"{text!r} needs a line each for ok, nok and busy: gpio:/dev/gpiochip0?ok=17&nok=27")
        self._name = place
        self._pulse_s = options.get("pulse_ms", PULSE_MS) / 1e3
        self._levels = Levels(chip, lines, place, options.get("active", False))
        self._changed = threading.Condition()
        self._next: tuple[str, float] | None = None
        """The line that is to be active, empty for none, and when that was said."""
        self._tells_busy = "busy" in lines
        self._busy = self._shown_busy = False
        self._closing = False
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="csflow-pulse", daemon=True)
        self._thread.start()

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Begin the pulse of this result, and end that of the one before.

        Raises SinkError where the lines cannot be set: whoever acts on them must not wait for what does not come.
        """
        with self._changed:
            if self._error or self._closing:
                raise SinkError(f"{self._name}: {self._error or 'closed'}")
            self._next = _line(result), time.monotonic()
            self._busy = False
            self._changed.notify_all()

    def asked(self) -> None:
        """A part was asked for: busy until its result comes."""
        with self._changed:
            self._busy = self._tells_busy
            self._changed.notify_all()

    def close(self) -> None:
        """Both lines inactive, then give them back. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            while not self._closing:
                if taken := self._take():
                    self._pulse(*taken)
                else:
                    self._show("", self._busy)
            self._levels.set(())
        except OSError as error:
            with self._changed:
                self._error = f"an output cannot be set ({error.strerror or error}): plug the chip in, then start again"
        finally:
            self._levels.release()

    def _pulse(self, line: str, said_s: float) -> None:
        if time.monotonic() - said_s > LATEST_S:
            line = ""
        # In two steps: whoever reads at the fall of BUSY finds the verdict, or none.
        self._show(line, self._shown_busy)
        self._show(line, False)
        fell_s = time.monotonic()
        while line and self._changes_before(fell_s + self._pulse_s):
            time.sleep(max(0.0, fell_s + GAP_S - time.monotonic()))
            self._show(line, self._busy)
        self._show("", self._shown_busy)
        time.sleep(GAP_S)

    def _show(self, line: str, busy: bool) -> None:
        self._shown_busy = busy
        self._levels.set([name for name in (line, "busy" if busy else "") if name])

    def _take(self) -> tuple[str, float] | None:
        """What was said last; None where only BUSY changed, and at the end."""
        with self._changed:
            self._changed.wait_for(self._has_news)
            taken, self._next = self._next, None
            return taken

    def _changes_before(self, end_s: float) -> bool:
        """Wait until a pulse is over: by its time, by another result, or by the end; True where BUSY alone changes."""
        with self._changed:
            changed = self._changed.wait_for(self._has_news, max(0.0, end_s - time.monotonic()))
            return changed and self._next is None and not self._closing

    def _has_news(self) -> bool:
        return self._next is not None or self._closing or self._busy != self._shown_busy

    def __enter__(self) -> PulseSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _line(result: Result) -> str:
    if result.verdict is Verdict.OK and result.verified:
        return "ok"
    return "nok" if result.verdict in (Verdict.OK, Verdict.NOK, Verdict.UNCERTAIN) else ""
