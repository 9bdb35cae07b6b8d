"""The loop of the line: a frame from a camera, its verdict from the detector, the result to every sink."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError, EndOfStream, FrameError
from csflow.runtime.line.feed import Feed
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.judge import Case, Judge
from csflow.runtime.sink import ResultSink
from csflow.runtime.sinks.summary import Summary, Tally
from csflow.runtime.source import FrameSource
from csflow.runtime.trigger import Request, Trigger
from csflow.runtime.types import Frame, Result

__all__ = ["StreamPolicy", "run_stream"]

POLL_S = 0.2
TRIGGER_S = 1.0


@dataclass(frozen=True)
class StreamPolicy:
    """How a run treats frames; the defaults are safe."""

    depth: int = 1
    """Frames of a camera that may wait; beyond it the oldest is dropped and counted. 1 is the newest frame."""
    deadline_s: float | None = None
    """Longest time in seconds from capture (or trigger) to a verdict; None is no limit, with triggers 1 s."""
    health: HealthLimits = field(default_factory=HealthLimits)
    """When a frame is no picture of a part."""


@dataclass(frozen=True)
class _Turn:
    """What is to get a result next."""

    feed: Feed
    item: Frame | FrameError
    request: Request | None = None

    @property
    def case(self) -> Case:
        """The same for the judge."""
        asked = ("", 0) if self.request is None else (self.request.id, self.request.since_ns)
        return Case(self.item, self.feed.name, self.feed.live, *asked)


def run_stream(
    source: FrameSource | Sequence[FrameSource],
    detector: Detector,
    sinks: Sequence[ResultSink],
    *,
    stop: threading.Event | None = None,
    max_frames: int | None = None,
    silence_s: float = 5.0,
    tally: Tally | None = None,
    policy: StreamPolicy | None = None,
    trigger: Trigger | None = None,
    beat: Callable[[], None] | None = None,
) -> Summary:
    """Give every frame, or every trigger, its result until the sources end, `stop` is set or `max_frames` are given.

    A live source is read in its own thread and the detector gets its newest frames (`StreamPolicy.depth`). Of any
    other source every frame is taken, in order. Several sources take turns: none gets a second frame while another
    has one waiting. What waits goes to the engine in one call, one frame a source and no more than the engine
    computes together (`Detector.batch`); no frame waits for another to come. Detector and sinks run in the calling
    thread; with a deadline the detector runs in one of its own. Sources, sinks and trigger are closed at every end;
    the detector stays open.

    What cannot be delivered, prepared, inferred or trusted gives an ERROR result with fault and reason, never none;
    three engine failures in a row end the run.

    Args:
        source: one or several opened sources.
        detector: an opened detector.
        sinks: take each result, in this order.
        stop: set it from a signal handler or another thread; the frame in work is finished.
        max_frames: largest number of results; None for no limit.
        silence_s: longest time in seconds without a frame; of a live source, without a good one.
        tally: counts the results; pass one to have the counts also when this raises.
        policy: waiting, deadline and checks.
        trigger: asks for results; then frames are only taken when it does, from one source.
        beat: called at each turn of this loop, at least five times a second while no detector, sink or file holds it
            up and no answer of the engine is overdue.

    Raises:
        SourceLost: no frame, or only bad ones, came for `silence_s` seconds, or a source that does not come
            back failed after it had worked.
        SourceError: a source never delivered a frame.
        InferenceError: the engine failed on three frames in a row, or hangs.
        SinkError: a result could not be written.
        ConfigError: a trigger and more than one source.
    """
    stop, tally, policy = stop or threading.Event(), tally or Tally(), policy or StreamPolicy()
    sources = list(source) if isinstance(source, Sequence) else [source]
    with contextlib.ExitStack() as stack:
        for close in (*(s.close for s in sinks), *(s.close for s in sources), *([trigger.close] if trigger else [])):
            stack.callback(close)
        if not sources or (trigger is not None and len(sources) > 1):
            raise ConfigError(f"{len(sources)} cameras: expected at least one, and exactly one with a trigger")
        deadline_s = policy.deadline_s or (TRIGGER_S if trigger else None)
        judge = Judge(detector, policy.health, deadline_s)
        stack.callback(judge.close)
        line = _Line(sources, stop, silence_s, policy.depth, lambda: beat and not judge.overdue and beat(), max_frames)
        for feed in line.feeds:
            stack.callback(feed.close)
        tally.watch(line.feeds)
        rounds = line.free_run(detector.batch) if trigger is None else line.triggered(trigger, deadline_s or TRIGGER_S)
        for turns in rounds:
            _give(turns, judge, tally, sinks, trigger)
        if trigger is not None:
            _refuse_rest(trigger, line.feeds[0], judge, tally, sinks)
    return tally.summary()


def _give(
    turns: Sequence[_Turn], judge: Judge, tally: Tally, sinks: Sequence[ResultSink], trigger: Trigger | None
) -> None:
    for position, result in judge.results([turn.case for turn in turns]):
        turn = turns[position]
        _hand_over(result, turn.item, tally, sinks)
        if trigger is not None and turn.request is not None:
            trigger.answer(turn.request, result)
    judge.check()
    for turn in turns:
        turn.feed.check()


def _hand_over(result: Result, item: Frame | FrameError, tally: Tally, sinks: Sequence[ResultSink]) -> None:
    tally.add(result)
    for sink in sinks:
        sink.write(result, item if isinstance(item, Frame) else None)


def _refuse_rest(trigger: Trigger, feed: Feed, judge: Judge, tally: Tally, sinks: Sequence[ResultSink]) -> None:
    """Requests that arrived before the end get their result too."""
    with contextlib.suppress(EndOfStream):
        while (request := trigger.next(0.0)) is not None:
            error = FrameError("the inspection has ended", -1, feed.name, "stopped")
            result = judge.error(error.fault, str(error), feed.name, request.id)
            _hand_over(result, error, tally, sinks)
            trigger.answer(request, result)


class _Line:
    """All sources of a run, and whose turn it is."""

    def __init__(
        self,
        sources: Sequence[FrameSource],
        stop: threading.Event,
        silence_s: float,
        depth: int,
        beat: Callable[[], object],
        max_frames: int | None,
    ) -> None:
        self._wake = threading.Condition()
        self._beat = beat
        self._stop = stop
        self._left = max_frames
        self._seen: Frame | None = None
        self.feeds = [Feed(source, silence_s, depth, self._wake) for source in sources]

    def free_run(self, batch: int) -> Iterator[list[_Turn]]:
        """Every frame there is, the feeds in turn; up to `batch` frames at a time, one of a feed."""
        first = 0
        while self._goes_on and not all(feed.ended for feed in self.feeds):
            self._beat()
            turns, failure = self._round(first, batch)
            if turns:
                first = self.feeds.index(turns[-1].feed) + 1
                yield self._counted(turns)
            if failure is not None:
                raise failure
            if not turns:
                self._wait()

    def _round(self, first: int, batch: int) -> tuple[list[_Turn], Exception | None]:
        """What waits, and what broke after it: those frames get their results before the run ends."""
        turns: list[_Turn] = []
        frames = 0
        for feed in (*self.feeds[first:], *self.feeds[:first]):
            try:
                item = feed.poll(0.0 if feed.live or len(self.feeds) > 1 else POLL_S)
            except Exception as error:  # noqa: BLE001 - raised by the caller
                return turns, error
            if item is not None:
                turns.append(_Turn(feed, item))
                frames += isinstance(item, Frame)
            if frames == batch or len(turns) == self._left:
                break
        return turns, None

    @property
    def _goes_on(self) -> bool:
        return self._left != 0 and not self._stop.is_set()

    def _counted(self, turns: list[_Turn]) -> list[_Turn]:
        if self._left is not None:
            self._left -= len(turns)
        return turns

    def triggered(self, trigger: Trigger, deadline_s: float) -> Iterator[list[_Turn]]:
        """One turn for every request."""
        (feed,) = self.feeds
        while self._goes_on:
            self._beat()
            try:
                request = trigger.next(POLL_S / 10)
            except EndOfStream:
                return
            if request is not None:
                yield self._counted([_Turn(feed, self._answer(feed, request, deadline_s), request)])
            elif feed.live:
                self._idle(feed)
            if feed.ended:
                return

    def _idle(self, feed: Feed) -> None:
        """What comes while nobody asks is not judged; whether the camera is there is noticed."""
        item = feed.poll()
        if isinstance(item, Frame):
            self._seen = item
        feed.check()

    def _answer(self, feed: Feed, request: Request, deadline_s: float) -> Frame | FrameError:
        """The first frame captured after the request, or why there is none."""
        if request.missed:
            return FrameError("too many triggers were waiting: give them more slowly", -1, feed.name, "missed")
        # A camera that exposes on the same trigger gives one frame, which may have come before the request was seen.
        seen, self._seen = self._seen, None
        if seen is not None and _answers(seen, request, feed):
            return seen
        end_ns = request.since_ns + int(deadline_s * 1e9)
        wait_s = 0.0
        while not self._stop.is_set() and not feed.ended:
            self._beat()
            item = feed.poll(wait_s)
            if isinstance(item, FrameError) or (item is not None and _answers(item, request, feed)):
                return item
            if feed.away:
                return FrameError(feed.away, -1, feed.name, "lost")
            wait_s = min(POLL_S, (end_ns - time.monotonic_ns()) / 1e9)
            if wait_s <= 0:
                return FrameError(f"no frame within {deadline_s * 1e3:g} ms of the trigger", -1, feed.name, "timeout")
        return FrameError("the inspection has ended", -1, feed.name, "stopped")

    def _wait(self) -> None:
        with self._wake:
            self._wake.wait_for(lambda: any(feed.ready for feed in self.feeds), POLL_S)


def _answers(frame: Frame, request: Request, feed: Feed) -> bool:
    return not feed.live or frame.captured_ns >= request.since_ns
