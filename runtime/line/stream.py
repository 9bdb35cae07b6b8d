"""The loop of the line: a frame from a camera, its verdict from the detector, the result to every sink."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError, CSFlowError
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.judge import Judge
from csflow.runtime.line.rounds import Rounds, Turn
from csflow.runtime.picture.window import eight_bits
from csflow.runtime.sink import AwaitingSink, ResultSink
from csflow.runtime.sinks.summary import Summary, Tally
from csflow.runtime.source import FrameSource
from csflow.runtime.trigger import SupervisedTrigger, Trigger
from csflow.runtime.types import Result

__all__ = ["StreamPolicy", "run_stream"]

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
    silence_s: float = 5.0
    """Longest time in seconds without a frame; of a live source, without a good one."""
    max_results: int | None = None
    """Results after which the run ends; None for no limit."""


def run_stream(
    source: FrameSource | Sequence[FrameSource],
    detector: Detector,
    sinks: Sequence[ResultSink],
    *,
    policy: StreamPolicy | None = None,
    trigger: Trigger | None = None,
    stop: threading.Event | None = None,
    tally: Tally | None = None,
    beat: Callable[[], None] | None = None,
) -> Summary:
    """Give every frame, or every trigger, its result until the sources end, `stop` is set or all results are given.

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
        sinks: take each result, in this order, after whoever asked for it has it.
        policy: waiting, deadline, checks and end.
        trigger: asks for results; then frames are only taken when it does, from one source.
        stop: set it from a signal handler or another thread; the frame in work is finished.
        tally: counts the results; pass one to have the counts also when this raises.
        beat: called at each turn of this loop, at least five times a second while no detector, sink or file holds it
            up and no answer of the engine is overdue.

    Raises:
        SourceLost: no frame, or only bad ones, came for `StreamPolicy.silence_s` seconds, or a source that does not
            come back failed after it had worked; or the trigger is gone.
        SourceError: a source never delivered a frame.
        InferenceError: the engine failed on three frames in a row, or hangs.
        SinkError: a result could not be written.
        ConfigError: a trigger and more than one source.
    """
    sources = list(source) if isinstance(source, Sequence) else [source]
    policy, tally = policy or StreamPolicy(), tally or Tally()
    with contextlib.ExitStack() as stack:
        asker = () if trigger is None else (trigger.close,)
        for close in (*(sink.close for sink in sinks), *(source.close for source in sources), *asker):
            stack.callback(close)
        _require_one_camera_for_a_trigger(sources, trigger)
        limit_s = _deadline_s(policy, trigger)
        judge = stack.enter_context(contextlib.closing(Judge(detector, policy.health, limit_s, beat)))
        rounds = Rounds(
            sources,
            stop or threading.Event(),
            _beat_unless_overdue(beat, judge),
            depth=policy.depth,
            silence_s=policy.silence_s,
            max_results=policy.max_results,
            mapped=partial(eight_bits, window=detector.bundle.manifest.preprocessing.window),
            awaits=partial(_tell, [sink for sink in sinks if isinstance(sink, AwaitingSink)]),
        )
        for feed in rounds.feeds:
            stack.callback(feed.close)
        tally.watch(rounds.feeds)
        with _supervised(trigger, rounds):
            for turns in _turns(rounds, detector.batch, trigger, policy):
                _give(turns, judge, tally, sinks, trigger)
    return tally.summary()


def _require_one_camera_for_a_trigger(sources: Sequence[FrameSource], trigger: Trigger | None) -> None:
    if not sources or (trigger is not None and len(sources) > 1):
        raise ConfigError(f"{len(sources)} cameras: expected at least one, and exactly one with a trigger")


def _deadline_s(policy: StreamPolicy, trigger: Trigger | None) -> float | None:
    return policy.deadline_s or (None if trigger is None else TRIGGER_S)


def _beat_unless_overdue(beat: Callable[[], None] | None, judge: Judge) -> Callable[[], None]:
    def turned() -> None:
        if beat is not None and not judge.overdue:
            beat()

    return turned


@contextlib.contextmanager
def _supervised(trigger: Trigger | None, rounds: Rounds) -> Iterator[None]:
    """Where somebody watches over this process, let them know of the camera, and of an error that ends it."""
    if not isinstance(trigger, SupervisedTrigger):
        yield
        return
    trigger.watch(lambda: rounds.feeds[0].away)
    try:
        yield
    except CSFlowError as error:
        trigger.failed(error)
        raise


def _tell(sinks: Sequence[AwaitingSink]) -> None:
    for sink in sinks:
        sink.asked()


def _turns(rounds: Rounds, batch: int, trigger: Trigger | None, policy: StreamPolicy) -> Iterator[list[Turn]]:
    if trigger is None:
        return rounds.free(batch)
    return chain(rounds.asked(trigger, policy.deadline_s or TRIGGER_S), rounds.refused(trigger))


def _give(
    turns: Sequence[Turn], judge: Judge, tally: Tally, sinks: Sequence[ResultSink], trigger: Trigger | None
) -> None:
    for position, result in judge.results([turn.case for turn in turns]):
        tally.add(result)
        _hand_over(turns[position], result, sinks, trigger)
    judge.check()
    for turn in turns:
        turn.feed.check()


def _hand_over(turn: Turn, result: Result, sinks: Sequence[ResultSink], trigger: Trigger | None) -> None:
    try:
        # Who asked does not wait for a disk; and where the asker is gone, the record is written all the same.
        if trigger is not None and turn.request is not None:
            trigger.answer(turn.request, result)
    finally:
        for sink in sinks:
            sink.write(result, turn.frame)
