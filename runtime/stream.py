"""The loop of the line: a frame from the source, its verdict from the detector, the result to every sink."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from csflow.runtime.detector import Detector
from csflow.runtime.errors import EndOfStream, FrameError, InferenceError, SourceError, SourceLost
from csflow.runtime.sink import ResultSink
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.newest import NewestFrame
from csflow.runtime.summary import Summary, Tally
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["run_stream"]

POLL_S = 0.2
ENGINE_FAILURES = 3


def run_stream(
    source: FrameSource,
    detector: Detector,
    sinks: Sequence[ResultSink],
    *,
    stop: threading.Event | None = None,
    max_frames: int | None = None,
    silence_s: float = 5.0,
    tally: Tally | None = None,
) -> Summary:
    """Give every frame its verdict until the source ends, `stop` is set or `max_frames` results are given.

    A live source is read in its own thread and the detector gets its newest frame; older ones are dropped,
    and counted by the gap in `Frame.index`. Of any other source every frame is taken, in order. Detector and
    sinks run in the calling thread. Source and sinks are closed at every end; the detector stays open.

    A frame that cannot be delivered, prepared or inferred gives an ERROR result with the reason, never none;
    three engine failures in a row end the run.

    Args:
        source: an opened source.
        detector: an opened detector.
        sinks: take each result, in this order.
        stop: set it from a signal handler or another thread; the frame in work is finished.
        max_frames: None for no limit.
        silence_s: longest time in seconds without a frame; of a live source, without a good one.
        tally: counts the results; pass one to have the counts also when this raises.

    Raises:
        SourceLost: no frame, or only bad ones, came for `silence_s` seconds, or the source failed after it
            had worked.
        SourceError: the source never delivered a frame.
        InferenceError: the engine failed on three frames in a row.
        SinkError: a result could not be written.
    """
    stop = stop or threading.Event()
    tally = tally or Tally()
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
        source = NewestFrame(source) if source.live else source
        stack.callback(source.close)
        judge = _Judge(detector)
        for item in _items(source, stop, silence_s, max_frames):
            result = judge.result(item)
            tally.add(result)
            for sink in sinks:
                sink.write(result, item if isinstance(item, Frame) else None)
            judge.check()
    return tally.summary()


def _items(
    source: FrameSource, stop: threading.Event, silence_s: float, max_frames: int | None
) -> Iterator[Frame | FrameError]:
    given, good_ns = 0, time.monotonic_ns()
    while not stop.is_set() and given != max_frames:
        try:
            item = _next_item(source, stop, silence_s, given)
        except EndOfStream:
            return
        if item is not None:
            given += 1
            yield item
        if isinstance(item, Frame):
            good_ns = time.monotonic_ns()
        elif source.live and item is not None and time.monotonic_ns() - good_ns > silence_s * 1e9:
            raise SourceLost(f"{source.name} gave only bad frames for {silence_s:g} s, the last: {item}")


def _next_item(source: FrameSource, stop: threading.Event, silence_s: float, given: int) -> Frame | FrameError | None:
    deadline_ns = time.monotonic_ns() + int(silence_s * 1e9)
    while not stop.is_set():
        remaining_s = (deadline_ns - time.monotonic_ns()) / 1e9
        if remaining_s <= 0:
            raise _silent(source, silence_s, given)
        try:
            frame = source.read(min(POLL_S, remaining_s))
        except FrameError as error:
            return error
        if frame is not None:
            return frame
    return None


def _silent(source: FrameSource, silence_s: float, given: int) -> SourceError:
    if given:
        return SourceLost(f"{source.name} was silent for {silence_s:g} s: check cable and power, or raise --timeout")
    return SourceError(f"{source.name} gave no frame within {silence_s:g} s: check its trigger, or raise --timeout")


class _Judge:
    """Turns whatever a source gave into a result, and remembers how often in a row the engine failed."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._failures: list[InferenceError] = []

    def result(self, item: Frame | FrameError) -> Result:
        if isinstance(item, FrameError):
            return self._error(item, item.index, time.monotonic_ns(), item.source)
        try:
            result = self._detector.detect(item)
        except (InferenceError, SourceError) as error:
            if isinstance(error, InferenceError):
                self._failures.append(error)
            return self._error(error, item.index, item.captured_ns, item.source)
        self._failures.clear()
        return result

    def check(self) -> None:
        """Raise the engine's error once it has failed on too many frames in a row."""
        if len(self._failures) >= ENGINE_FAILURES:
            raise self._failures[-1]

    def _error(self, error: Exception, index: int, captured_ns: int, source: str) -> Result:
        return Result(
            verdict=Verdict.ERROR,
            score=math.nan,
            threshold=self._detector.calibration.reject_threshold,
            p_value=math.nan,
            anomaly_map=np.zeros((0, 0), dtype=np.float32),
            peak_xy=(-1, -1),
            reason=str(error),
            frame_index=index,
            captured_ns=captured_ns,
            latency_s=(time.monotonic_ns() - captured_ns) / 1e9,
            source=source,
            verified=not self._detector.distrust,
        )
