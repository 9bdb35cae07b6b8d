"""One line a frame for people."""

from __future__ import annotations

import math
from typing import TextIO

import click

from csflow.runtime.machine.names import shown
from csflow.runtime.machine.writable import writable
from csflow.runtime.sink import TryAgain, sink_error
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["TerminalSink", "result_line"]

PATIENCE_S = 1.0
COLOURS = {Verdict.OK: "green", Verdict.NOK: "red", Verdict.UNCERTAIN: "yellow", Verdict.ERROR: "magenta"}


class TerminalSink:
    """Prints one line a result to a text stream, in colour where it is a terminal and the engine is verified."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Print the line; what the stream's encoding lacks is escaped (\\xfc).

        Raises TryAgain while the stream takes nothing, SinkError when its reader has left.
        """
        if not writable(self._stream, PATIENCE_S):
            raise TryAgain("nobody reads the lines: the pipe is full, or the terminal is held (Ctrl-Q)")
        colour = COLOURS.get(result.verdict) if result.verified else None
        verdict = click.style(f"{result.verdict.name:<9}", fg=colour, bold=True)
        encoding = self._stream.encoding or "utf-8"
        line = result_line(result, verdict).encode(encoding, "backslashreplace").decode(encoding)
        try:
            click.echo(line, file=self._stream)
        except OSError as error:
            raise sink_error(error, "the terminal") from None

    def close(self) -> None:
        """Nothing to release: the stream belongs to the caller."""

    def __enter__(self) -> TerminalSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def result_line(result: Result, verdict: str | None = None) -> str:
    """Index, verdict, score over threshold, p-value, latency in ms, source, part and trigger; for an ERROR its reason.

    An engine that the decision gate has not passed is named on every line.
    """
    ratio = result.score / result.threshold if result.threshold > 0 else math.nan
    columns = (
        f"{result.frame_index:>7}",
        verdict or f"{result.verdict.name:<9}",
        f"{ratio:6.2f} x threshold" if math.isfinite(ratio) else f"{'-':>18}",
        f"p {result.p_value:5.3f}" if math.isfinite(result.p_value) else f"{'-':>7}",
        f"{result.latency_s * 1e3:7.1f} ms",
        _printable(result.source),
        *([f"part {_printable(result.part)}"] if result.part else []),
        *([f"trigger {_printable(result.trigger)}"] if result.trigger else []),
        f"({_printable(result.reason)})" if result.verdict is Verdict.ERROR else "",
        "" if result.verified else "ENGINE NOT VERIFIED",
    )
    return "  ".join(columns).rstrip()


def _printable(text: str) -> str:
    # A file name may carry control characters that a terminal would obey.
    return "".join(c if c.isprintable() else "?" for c in shown(text))
