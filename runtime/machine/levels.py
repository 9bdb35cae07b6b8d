"""GPIO lines as outputs: named, inactive from the first moment, and what falls falls before anything rises.

The kernel keeps no level for a process that has ended: it gives the lines back to their driver, which may leave the
last level, or make inputs of them. What must be safe then, hardware must pull there. Extra: gpio.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from csflow.runtime.errors import BackendUnavailable, SourceError
from csflow.runtime.machine.install import pip_install

if TYPE_CHECKING:
    import gpiod

__all__ = ["Levels", "line_of"]


class Levels:
    """Lines of one chip by the names of what they say."""

    def __init__(self, chip: str, lines: Mapping[str, int | str], asker: str, active_low: bool = False) -> None:
        """Take the lines, all inactive.

        Args:
            chip: for example /dev/gpiochip0.
            lines: number or name of each.
            asker: who needs them, for messages.
            active_low: an active line is at 0 V.

        Raises:
            BackendUnavailable: gpiod is missing.
            SourceError: no such chip or line, or another program has it.
        """
        self._lines = dict(lines)
        self._request = _request(chip, self._lines, asker, active_low)

    def set(self, active: Collection[str]) -> None:
        """Make these lines active and all others not. Raises OSError where the chip is gone."""
        from gpiod.line import Value

        values = {line: Value(int(name in active)) for name, line in self._lines.items()}
        for level in (Value.INACTIVE, Value.ACTIVE):
            if some := {line: value for line, value in values.items() if value is level}:
                self._request.set_values(some)

    def release(self) -> None:
        """Give the lines back."""
        self._request.release()


def line_of(text: str) -> int | str:
    """A line's number, or else its name."""
    return int(text) if text.isdecimal() else text


def _request(chip: str, lines: dict[str, int | str], asker: str, active_low: bool) -> gpiod.LineRequest:
    try:
        import gpiod
        from gpiod.line import Direction, Value
    except ImportError as error:
        raise BackendUnavailable(
            f"{asker} needs gpiod 2, which does not load ({error}); install it with: {pip_install('gpio')}"
        ) from None
    low: Any = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE, active_low=active_low)
    try:
        return gpiod.request_lines(chip, dict.fromkeys(lines.values(), low), consumer="csflow")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{chip} does not give these lines as outputs ({why}): 'gpioinfo' lists chips, lines and who has them"
        ) from None
