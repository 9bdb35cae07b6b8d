"""The whole line in a bench: pictures in, results out, through the loop that `csflow run` has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bench_model import thresholds
from numpy.typing import NDArray

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engine import Engine
from csflow.runtime.errors import EndOfStream
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.types import Frame, Result

WARM_UP = 2
"""Results of each source that do not count."""
"""A frame's age is no fault here: the engine may be slow. All other checks are on."""


class Pictures:
    """The same few pictures in turn: as a camera at its own pace, or, with `fps` 0, as a folder without an end."""

    def __init__(self, name: str, images: Sequence[NDArray[np.uint8]], fps: float = 0.0) -> None:
        self.name = name
        self.live = fps > 0
        self._images = images
        self._period_s = 1 / fps if fps else 0.0
        self._start_s = time.monotonic()
        self._index = -1

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; a camera's come when they are due, and those that nobody read in time are gone."""
        if not self._images:
            raise EndOfStream
        index = self._index + 1
        if self.live:
            index = max(index, int((time.monotonic() - self._start_s) / self._period_s))
            wait_s = self._start_s + index * self._period_s - time.monotonic()
            time.sleep(max(0.0, min(wait_s, timeout_s)))
            if wait_s > timeout_s:
                return None
        self._index = index
        return Frame(self._images[index % len(self._images)], index, source=self.name)

    def close(self) -> None:
        """Give no more pictures."""
        self._images = ()

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Times:
    """A sink that keeps when each result came, and its times."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.came_s: list[float] = []

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - as every sink
        """Keep it. Raises RuntimeError for a frame that was refused: its times would be those of no inspection."""
        if result.fault:
            raise RuntimeError(f"a frame was refused: {result.reason}")
        self.came_s.append(time.perf_counter())
        self.results.append(result)

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> _Times:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class LineTimes:
    """Of each result after the warm-up, times in seconds."""

    engine: list[float]
    end_to_end: list[float]
    """From one result to the next. On a source that never waits this is all that a frame costs."""
    latency: list[float]
    """From capture to verdict."""
    batch: list[int]
    """Frames in the call of the engine that it was part of."""

    @property
    def around(self) -> list[float]:
        """What is not the engine, frame by frame."""
        return [whole - engine for whole, engine in zip(self.end_to_end, self.engine, strict=True)]

    @property
    def per_call(self) -> float:
        """Frames in one call of the engine, on average."""
        return len(self.batch) / sum(1 / count for count in self.batch)

    @property
    def fps(self) -> float:
        """Results a second."""
        return len(self.end_to_end) / sum(self.end_to_end)


def run_line(bundle: Bundle, engine: Engine, sources: Sequence[Pictures], frames: int) -> LineTimes:
    """The times of `frames` results; the engine stays open, the sources do not."""
    times, warm_up = _Times(), WARM_UP * len(sources)
    policy = StreamPolicy(health=HealthLimits(max_age_s=0.0), max_results=frames + warm_up)
    run_stream(sources, Detector(bundle, engine, thresholds(bundle)), [times], policy=policy)
    counted = times.results[warm_up:]
    return LineTimes(
        [r.infer_s for r in counted],
        np.diff(times.came_s)[warm_up - 1 :].tolist(),
        [r.latency_s for r in counted],
        [r.batch for r in counted],
    )
