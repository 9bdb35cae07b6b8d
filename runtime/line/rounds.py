"""Whose turn it is: the next frames of every camera, or the frame that answers a request."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.line.feed import Feed, Mapped
from csflow.runtime.line.judge import Case
from csflow.runtime.line.owed import Owed
from csflow.runtime.source import FrameSource
from csflow.runtime.trigger import Request, Trigger
from csflow.runtime.types import Frame

__all__ = ["Rounds", "Turn"]

POLL_S = 0.2
ASK_S = 0.02
"""Longest time in seconds in which nobody looks at the camera because nobody asks."""


@dataclass(frozen=True)
class Turn:
    """What is to get a result next."""

    feed: Feed
    item: Frame | FrameError
    request: Request | None = None

    @property
    def case(self) -> Case:
        """The same for the judge."""
        return Case(self.item, self.feed.name, self.feed.live, self.request)

    @property
    def frame(self) -> Frame | None:
        """The picture; None where there is none."""
        return self.item if isinstance(self.item, Frame) else None


class Rounds:
    """All sources of a run, and what of them is to get a result next."""

    def __init__(
        self,
        sources: Sequence[FrameSource],
        stop: threading.Event,
        beat: Callable[[], None],
        *,
        depth: int,
        silence_s: float,
        max_results: int | None,
        mapped: Mapped | None = None,
        awaits: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over opened sources.

        Args:
            stop: when set, there are no more turns.
            beat: called at each turn of the loop, and while it waits.
            depth: frames of a camera that may wait.
            silence_s: longest time in seconds without a frame; of a live source, without a good one.
            max_results: turns there are at most; None for no limit.
            mapped: makes 8 bits of a picture's levels; None leaves pictures as they come.
            awaits: called when a result is to come: at a request, or where nobody asks at a picture.
        """
        self._wake = threading.Condition()
        self._beat = beat
        self._awaits = awaits
        self._stop = stop
        self._left = max_results
        self._seen: Frame | None = None
        self._owed = Owed()
        self._left_out = 0
        self.feeds = [Feed(source, silence_s, depth, self._wake, mapped) for source in sources]

    def free(self, batch: int) -> Iterator[list[Turn]]:
        """Every frame there is, the feeds in turn; up to `batch` frames at a time, one of a feed."""
        first = 0
        while self._goes_on and not all(feed.ended for feed in self.feeds):
            self._beat()
            turns, failure = self._round(first, batch)
            if turns:
                first = self.feeds.index(turns[-1].feed) + 1
                self._awaits()
                yield self._counted(turns)
                # Of large pictures there is room for one: it is gone before the next is read.
                turns.clear()
            elif failure is None:
                self._wait()
            if failure is not None:
                raise failure

    def _round(self, first: int, batch: int) -> tuple[list[Turn], Exception | None]:
        """What waits, and what broke after it: those frames get their results before the run ends."""
        turns: list[Turn] = []
        frames = 0
        for feed in (*self.feeds[first:], *self.feeds[:first]):
            try:
                item = feed.poll(0.0 if feed.live or len(self.feeds) > 1 else POLL_S)
            except Exception as error:  # noqa: BLE001 - raised by the caller
                return turns, error
            if item is not None:
                turns.append(Turn(feed, item))
                frames += isinstance(item, Frame)
            if frames == batch or len(turns) == self._left:
                break
        return turns, None

    @property
    def _goes_on(self) -> bool:
        return self._left != 0 and not self._stop.is_set()

    def _counted(self, turns: list[Turn]) -> list[Turn]:
        if self._left is not None:
            self._left -= len(turns)
        return turns

    def _wait(self) -> None:
        with self._wake:
            self._wake.wait_for(lambda: any(feed.ready for feed in self.feeds), POLL_S)

    def asked(self, trigger: Trigger, deadline_s: float) -> Iterator[list[Turn]]:
        """One turn for every request, of the one source; whoever asked hears that the picture is taken.

        Args:
            deadline_s: longest time in seconds from a request without a limit of its own to its frame.
        """
        (feed,) = self.feeds
        while self._goes_on and not feed.ended:
            self._beat()
            try:
                request = trigger.next(ASK_S)
            except EndOfStream:
                return
            if request is not None:
                self._awaits()
                turn = Turn(feed, self._answer(feed, request, request.deadline_s or deadline_s), request)
                if turn.frame is not None:
                    trigger.exposed(request, turn.frame)
                yield self._counted([turn])
            elif feed.live:
                self._idle(feed)
            else:
                feed.look()

    def refused(self, trigger: Trigger) -> Iterator[list[Turn]]:
        """A turn without a picture for every request that had come before the end."""
        (feed,) = self.feeds
        with contextlib.suppress(EndOfStream):
            while (request := trigger.next(0.0)) is not None:
                yield [Turn(feed, _ended(feed), request)]

    def _idle(self, feed: Feed) -> None:
        """What comes while nobody asks is not judged; whether the camera is there is noticed."""
        item = feed.poll()
        if item is not None and not self._owed.takes(item) and isinstance(item, Frame):
            self._seen = item
        feed.check()

    def _answer(self, feed: Feed, request: Request, deadline_s: float) -> Frame | FrameError:
        """The first frame captured after the request, or why there is none."""
        if request.missed:
            return FrameError("too many triggers were waiting: give them more slowly", -1, feed.name, "missed")
        self._left_out = feed.leave_out(request.since_ns)
        self._owed.forgive(self._left_out, deadline_s)
        fired = not self._owed
        if fired:
            feed.fire()
        # A camera that exposes on the same trigger gives one frame, which may have come before the request was seen.
        seen, self._seen = self._seen, None
        if seen is not None and _answers(seen, request, feed):
            return seen
        end_ns = request.since_ns + int(deadline_s * 1e9)
        wait_s = 0.0
        while not self._stop.is_set() and not feed.ended:
            self._beat()
            item = feed.poll(wait_s)
            if item is not None and self._owed.takes(item):
                item = None
            if not fired and not self._owed:
                fired = True
                feed.fire()
            if isinstance(item, FrameError) or (item is not None and _answers(item, request, feed)):
                return item
            if feed.away:
                self._owed.clear()
                return FrameError(feed.away, -1, feed.name, "lost")
            wait_s = min(POLL_S, (end_ns - time.monotonic_ns()) / 1e9)
            if wait_s <= 0:
                return self._late(feed, deadline_s, fired)
        return _ended(feed)

    def _late(self, feed: Feed, deadline_s: float, fired: bool) -> FrameError:
        words = f"no frame within {deadline_s * 1e3:g} ms of the trigger"
        if self._left_out:
            words += f", and {self._left_out} pictures from before it were left out (watch:FOLDER?early=S takes them)"
        if self._owed:
            words += ": that of the trigger before may still come, and would be taken for this one's"
        if fired or not feed.waits:
            self._owed.add()
        return FrameError(words, -1, feed.name, "timeout")


def _ended(feed: Feed) -> FrameError:
    return FrameError("the inspection has ended", -1, feed.name, "stopped")


def _answers(frame: Frame, request: Request, feed: Feed) -> bool:
    # By the camera's own clock a picture may seem to be a little older than it is.
    return not feed.live or frame.captured_ns + frame.camera.get("clock_error_ns", 0) >= request.since_ns
