"""A log line for every result that is not OK, at a bounded rate."""

from __future__ import annotations

import logging
import time

from csflow.runtime.sinks.terminal import result_line
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["LogSink"]

LINES = 20
PERIOD_S = 1.0


class LogSink:
    """Logs what is not OK to the logger 'csflow': 20 lines a second, then one that tells how many are missing."""

    def __init__(self) -> None:
        self._log = logging.getLogger("csflow.results")
        self._period_end_s = 0.0
        self._logged = 0
        self._missing = 0

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Log the result, unless it is OK or there were too many in this second."""
        now_s = time.monotonic()
        if now_s >= self._period_end_s:
            self._tell_missing()
            self._period_end_s, self._logged = now_s + PERIOD_S, 0
        if result.verdict is Verdict.OK:
            return
        if self._logged < LINES:
            self._logged += 1
            self._log.info("%s", " ".join(result_line(result).split()))
        else:
            self._missing += 1

    def _tell_missing(self) -> None:
        missing, self._missing = self._missing, 0
        if missing:
            self._log.info("%d more results that were not OK", missing)

    def close(self) -> None:
        """Tell what is missing. May be called twice."""
        self._tell_missing()

    def __enter__(self) -> LogSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
