"""What the tests of the line play with: pictures, a camera that never ends, a detector over the fake engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.summary import Summary
from csflow.runtime.sources.fake import Step
from csflow.runtime.types import Result

__all__ = ["detector", "endless", "picture", "run"]

RNG = np.random.default_rng(5)


def picture(grey: int = 51) -> NDArray[np.uint8]:
    """A picture of 64 x 64 pixels; the fake engine's score is its mean level over 255."""
    return np.clip(grey + RNG.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)


def endless(pause_s: float = 0.01) -> Iterator[Step]:
    """The script of a camera that shows good parts for ever."""
    while True:
        yield pause_s
        yield picture()


def detector(bundle: Bundle, engine: FakeEngine | None = None) -> Detector:
    """A detector of a calibrated bundle."""
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine or FakeEngine(bundle), calibration)


def run(
    bundle: Bundle, source: Any, trigger: Any, deadline_s: float = 20.0, **more: Any
) -> tuple[list[Result], Summary]:
    """A run with a trigger, in memory."""
    sink = MemorySink()
    engine = more.pop("engine", None)
    stop = more.pop("stop", None)
    policy = StreamPolicy(deadline_s=deadline_s, **more)
    summary = run_stream(source, detector(bundle, engine), [sink], policy=policy, trigger=trigger, stop=stop)
    return sink.results, summary
