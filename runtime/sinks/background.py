"""A sink behind a bounded queue and a thread of its own: whatever it does, the inspection goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TypeAlias

from csflow.runtime.errors import SinkError
from csflow.runtime.sink import OutputReport, ResultSink, TryAgain
from csflow.runtime.types import Frame, Result

__all__ = ["BackgroundSink"]

PATIENCE_S = 5.0
RETRY_S = 60.0
PAUSES_S = (0.25, 8.0)
CLOSE_S = 2.0
PICTURE_BYTES = 256 << 20
"""Pictures that wait hold no more together; of larger ones a single one waits."""

_Item: TypeAlias = "tuple[Result, Frame | None]"

log = logging.getLogger("csflow.outputs")


class BackgroundSink:
    """Hands results to `sink` in a thread of its own. `write` never waits on the sink and never fails with it.

    Where the queue is full the oldest result is dropped, and counted. A failure is counted and logged when it
    begins and when it ends; where the sink says `TryAgain` the result is tried again for a minute, with pauses that
    double. Two options change that for outputs that are part of the bargain:

    waits: `write` waits up to 5 s for room, then not again until the sink has moved: for files, which wait.
    fatal: the sink's failure is raised by the next `write`, or by `close`: for a reader without whom to go on is idle.
    """

    def __init__(
        self,
        sink: ResultSink,
        name: str,
        *,
        capacity: int = 1000,
        pictures: bool = False,
        waits: bool = False,
        fatal: bool = False,
        flush_s: float = 3.0,
    ) -> None:
        """Start the thread, which also closes `sink`.

        Args:
            name: what reports and log lines call this output; give no password.
            capacity: results that may wait.
            pictures: pass frames on too; each of them that waits holds its picture.
            flush_s: longest time in seconds that `close` waits for results to be written.
        """
        self.name = name
        self._sink = sink
        self._capacity, self._pictures, self._waits, self._fatal = capacity, pictures, waits, fatal
        self._flush_s = flush_s
        self._queue: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._written = self._failed = self._dropped = self._in_hand = 0
        self._error = ""
        self._raised: SinkError | None = None
        self._stuck = False
        self._deadline_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"csflow-output {name}", daemon=True)
        self._thread.start()

    def write(self, result: Result, frame: Frame | None) -> None:
        """Queue the result. Raises SinkError when closed, or for a `fatal` sink that has failed."""
        with self._changed:
            if self._deadline_s is not None:
                raise SinkError(f"{self.name} is closed")
            self._raise_fatal()
            item = result, frame if self._pictures else None
            if self._waits and not self._stuck:
                self._stuck = not self._changed.wait_for(lambda: self._has_room(item), PATIENCE_S)
                self._raise_fatal()
            while not self._has_room(item):
                self._queue.popleft()
                self._dropped += 1
            self._queue.append(item)
            self._changed.notify_all()

    def report(self) -> OutputReport:
        """The counts so far."""
        with self._changed:
            waiting = len(self._queue) + self._in_hand
            return OutputReport(self.name, self._written, self._failed, self._dropped, waiting, self._error)

    def finish(self) -> None:
        """Take no more results and begin to close; `close` then waits for it. So several close at the same time."""
        with self._changed:
            if self._deadline_s is None:
                self._deadline_s = time.monotonic() + self._flush_s
                self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, for at most `flush_s` seconds, and close the sink; the rest counts as dropped.

        A sink that hangs is left to its thread. Raises SinkError for a `fatal` sink that has failed.
        """
        self.finish()
        assert self._deadline_s is not None
        self._thread.join(max(0.0, self._deadline_s - time.monotonic()) + CLOSE_S)
        with self._changed:
            if self._thread.is_alive():
                self._dropped += len(self._queue) + self._in_hand
                self._in_hand = 0
                self._queue.clear()
                self._error = self._error or "it did not answer until the end"
            self._raise_fatal()

    def _has_room(self, item: _Item) -> bool:
        if not self._queue:
            return True
        held = sum(map(_bytes, (*self._queue, item))) if self._pictures else 0
        return len(self._queue) < self._capacity and held <= PICTURE_BYTES

    def _raise_fatal(self) -> None:
        error, self._raised = self._raised, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while (item := self._take()) is not None:
            self._deliver(*item)
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 - counted and told, as every failure of an output
            self._tell_failure(error)

    def _take(self) -> _Item | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._deadline_s is not None)
            if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
                self._dropped += len(self._queue)
                self._queue.clear()
            if not self._queue:
                return None
            self._in_hand = 1
            return self._queue.popleft()

    def _deliver(self, result: Result, frame: Frame | None) -> None:
        give_up_s, pause_s = time.monotonic() + RETRY_S, PAUSES_S[0]
        while True:
            try:
                self._sink.write(result, frame)
            except TryAgain as error:
                self._tell_failure(error)
                if time.monotonic() + pause_s < give_up_s and self._pause(pause_s):
                    pause_s = min(2 * pause_s, PAUSES_S[1])
                    continue
                self._count(failed=True)
            except Exception as error:  # noqa: BLE001 - an output must not end the thread
                self._tell_failure(error)
                self._count(failed=True)
            else:
                self._count(failed=False)
            return

    def _pause(self, pause_s: float) -> bool:
        """Wait before the next try, shorter when closing; False when there is no time for another."""
        with self._changed:
            self._changed.wait_for(lambda: self._deadline_s is not None, pause_s)
            if self._deadline_s is None:
                return True
            left_s = self._deadline_s - time.monotonic()
        time.sleep(max(0.0, min(pause_s, left_s)))
        return left_s > pause_s

    def _count(self, failed: bool) -> None:
        with self._changed:
            written, self._in_hand = self._in_hand, 0
            if failed:
                self._failed += written
            else:
                self._written += written
                error, self._error = self._error, ""
            self._stuck = False
            lost = self._failed + self._dropped
            self._changed.notify_all()
        if not failed and error:
            log.warning("output %s works again; %d results were lost so far", self.name, lost)

    def _tell_failure(self, error: Exception) -> None:
        text = str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
        with self._changed:
            first, self._error = not self._error, text
            if self._fatal and not isinstance(error, TryAgain):
                self._raised = error if isinstance(error, SinkError) else SinkError(f"{self.name}: {text}")
        if first:
            log.warning("output %s: %s", self.name, text)

    def __enter__(self) -> BackgroundSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _bytes(item: _Item) -> int:
    frame = item[1]
    return 0 if frame is None else frame.image.nbytes + (0 if frame.levels is None else frame.levels.nbytes)
