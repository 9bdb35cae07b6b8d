"""Log lines of a run: warnings on standard error, everything in a file that rotates; writing never waits."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

from csflow.runtime.machine.writable import writable
from csflow.runtime.sink import sink_error

__all__ = ["LOG_FILES", "LOG_FILE_BYTES", "run_logs"]

LOG_FILE_BYTES = 10_000_000
LOG_FILES = 5
"""The file and so many older ones (.1 to .5) are kept: at most 60 MB."""
QUEUED = 1000
FLUSH_S = 2.0
PATIENCE_S = 1.0


@contextlib.contextmanager
def run_logs(path: Path | str | None) -> Iterator[logging.Logger]:
    """Send what the logger 'csflow' gets to standard error (warnings) and to `path` (all); None is no file.

    Lines pass through a bounded queue: where a disk or a terminal hangs they are lost, and the inspection goes on.
    Raises SinkError when the file cannot be opened.
    """
    logger = logging.getLogger("csflow")
    handlers = [_terminal(), *([] if path is None else [_file(Path(path))])]
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED)
    entrance = _Entrance(lines)
    listener = QueueListener(lines, *handlers, respect_handler_level=True)
    listener.start()
    before = logger.level, logger.propagate
    logger.addHandler(entrance)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.removeHandler(entrance)
        logger.level, logger.propagate = before
        _stop(listener, handlers)


class _Entrance(QueueHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line: the queue is full because its disk or terminal hangs."""


class _RotatingFile(RotatingFileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; a file that somebody deleted is made anew."""
        with contextlib.suppress(OSError, ValueError):
            if self.stream is not None and os.fstat(self.stream.fileno()).st_nlink == 0:
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
                self.stream.close()
                self.stream = self._open()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line: the disk is full, which the outputs' reports tell."""


class _Terminal(logging.StreamHandler):  # type: ignore[type-arg]  # generic from Python 3.11 on
    def emit(self, record: logging.LogRecord) -> None:
        """Print the line, or lose it where standard error takes nothing."""
        if writable(self.stream, PATIENCE_S):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line: nobody reads standard error any more."""


def _terminal() -> logging.Handler:
    handler = _Terminal(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    return handler


def _file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _RotatingFile(
            path, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise sink_error(error, path) from None
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


def _stop(listener: QueueListener, handlers: list[logging.Handler]) -> None:
    def stop() -> None:
        with contextlib.suppress(queue.Full):
            listener.stop()
        for handler in handlers:
            # What a full disk did not take is lost.
            with contextlib.suppress(OSError):
                handler.close()

    # A hanging disk must not keep the process from ending.
    thread = threading.Thread(target=stop, name="csflow-logs-end", daemon=True)
    thread.start()
    thread.join(FLUSH_S)
