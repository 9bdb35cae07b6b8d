"""What the page and the metrics show: counters, scores, cameras, the newest frame and the last rejects."""

from __future__ import annotations

import bisect
import itertools
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from csflow.runtime.sink import OutputReport
from csflow.runtime.sinks.summary import Tally
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["CameraCounts", "LiveState", "PageInfo", "Seen", "score_ratio"]

SCORES = 300
REJECTS = 12
RATE_S = 10.0
SILENT_S = 5.0
AWAY = ("lost", "timeout")
"""Faults of a camera that gives nothing."""


@dataclass(frozen=True)
class PageInfo:
    """What does not change during a run."""

    bundle: str
    engine: str
    warn_threshold: float
    reject_threshold: float
    cameras: tuple[str, ...]
    """Names of the sources, as `FrameSource.name` gives them; `Result.camera` is one of them."""
    roi: tuple[int, int, int, int] | None = None
    """The bundle's region of interest, (x, y, width, height) in pixels."""
    distrust: str = ""
    """Why the engine is not verified; empty where it is."""


@dataclass(frozen=True)
class Seen:
    """A result with its picture, numbered in the order of arrival, from 1."""

    number: int
    result: Result
    frame: Frame | None
    unix_s: float
    """Wall clock at capture, in seconds since 1970."""


@dataclass
class _Camera:
    name: str
    results: int = 0
    errors: int = 0
    last_ns: int | None = None
    last_unix_s: float | None = None
    """Wall clock at capture of its newest result, in seconds since 1970."""
    fault: str = ""
    reason: str = ""
    """Why its newest result is an ERROR; empty where it is none."""


@dataclass(frozen=True)
class CameraCounts:
    """What is known of a camera; for metrics."""

    results: int
    errors: int
    last_unix_s: float | None
    """Wall clock at capture of its newest result, in seconds since 1970; None before the first."""
    up: bool
    """It is there, and its newest result is not about its absence."""


class _Latencies:
    """Counts of latencies up to each bound, exactly, and their sum."""

    BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    def __init__(self) -> None:
        self._counts = [0] * (len(self.BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect.bisect_left(self.BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        return list(zip([*map(str, self.BOUNDS_S), "+Inf"], itertools.accumulate(self._counts), strict=True))


class LiveState:
    """Filled by the inspection (`add` costs microseconds and keeps references only), read by the page's threads."""

    def __init__(
        self,
        info: PageInfo,
        reports: Callable[[], Sequence[OutputReport]] = lambda: (),
        absent: Callable[[], Collection[str]] = lambda: (),
    ) -> None:
        """Nothing has happened yet.

        Args:
            reports: gives the outputs' counts when asked.
            absent: gives the names of the cameras that are not there when asked.
        """
        self.info = info
        self.unverified = 0
        """Results of an engine that the decision gate has not passed."""
        self._latencies = _Latencies()
        self._absent = absent
        self.run = secrets.token_hex(4)
        """Another one each run, so that a page notices a restart."""
        self.tally = Tally()
        self._reports = reports
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._newest: Seen | None = None
        self._scores: deque[tuple[int, float | None, str]] = deque(maxlen=SCORES)
        self._times_ns: deque[int] = deque(maxlen=10_000)
        self._cameras = {name: _Camera(name) for name in info.cameras}
        self._rejects: deque[Seen] = deque(maxlen=REJECTS)

    def add(self, result: Result, frame: Frame | None) -> None:
        """Take the newest result."""
        with self._lock:
            seen = Seen(next(self._numbers), result, frame, round(result.captured_unix_ns / 1e9, 3))
            self.tally.add(result)
            self._latencies.add(result.latency_s)
            self.unverified += not result.verified
            self._newest = seen
            self._scores.append((seen.number, score_ratio(result), result.verdict.name))
            self._times_ns.append(time.monotonic_ns())
            self._note_camera(result)
            if result.verdict is not Verdict.OK:
                self._rejects.append(seen)

    def newest(self) -> Seen | None:
        """The newest result; None before the first."""
        with self._lock:
            return self._newest

    def take_rejects(self) -> list[Seen]:
        """The results that were not OK since the last call, oldest first; of very many the last twelve."""
        with self._lock:
            taken = list(self._rejects)
            self._rejects.clear()
            return taken

    def counters(self) -> tuple[dict[str, int], dict[str, CameraCounts], Sequence[OutputReport]]:
        """Results by verdict, what is known of each camera, and the outputs' reports."""
        absent = self._absent()
        with self._lock:
            verdicts = self.tally.summary().verdicts
            cameras = {
                c.name: CameraCounts(c.results, c.errors, c.last_unix_s, c.name not in absent and c.fault not in AWAY)
                for c in self._cameras.values()
            }
        return verdicts, cameras, self._reports()

    def latency(self) -> tuple[list[tuple[str, int]], float]:
        """(bound in seconds, results that took at most that long), the last bound '+Inf'; and the sum in seconds."""
        with self._lock:
            return self._latencies.cumulative(), self._latencies.sum_s

    def snapshot(self, shown: Seen | None, since: int) -> dict[str, Any]:
        """Everything the page shows as a JSON object.

        Args:
            shown: the result whose picture and verdict are on the page.
            since: number of the last score that this page has; only newer ones are given.
        """
        absent = self._absent()
        with self._lock:
            now_ns = time.monotonic_ns()
            summary = self.tally.summary()
            mapping = {
                "run": self.run,
                "bundle": self.info.bundle,
                "engine": self.info.engine,
                "distrust": self.info.distrust,
                "warn_ratio": _finite(self.info.warn_threshold / self.info.reject_threshold),
                "shown": None if shown is None else _shown(shown, now_ns),
                "counts": summary.verdicts,
                "frames": summary.frames,
                "dropped": summary.dropped,
                "fps": self._fps(now_ns),
                "latency_ms": [
                    None if s is None else round(s * 1e3, 2)
                    for s in (summary.latency_p50_s, summary.latency_p95_s, summary.latency_p99_s)
                ],
                "cameras": [_camera(c, now_ns, c.name in absent) for c in self._cameras.values()],
                "scores": [s for s in self._scores if s[0] > since],
            }
        mapping["outputs"] = [_output(report) for report in self._reports()]
        return mapping

    def _note_camera(self, result: Result) -> None:
        camera = self._cameras.get(result.camera)
        if camera is not None:
            failed = result.verdict is Verdict.ERROR
            camera.results += 1
            camera.errors += failed
            camera.last_ns = time.monotonic_ns()
            camera.last_unix_s = result.captured_unix_ns / 1e9
            camera.fault = result.fault
            camera.reason = result.reason if failed else ""

    def _fps(self, now_ns: int) -> float:
        recent = sum(1 for _ in itertools.takewhile(lambda t: now_ns - t < RATE_S * 1e9, reversed(self._times_ns)))
        return round(recent / RATE_S, 2)


def score_ratio(result: Result) -> float | None:
    """Score over reject threshold; None where there is none."""
    return _finite(result.score / result.threshold) if result.threshold > 0 else None


def _shown(seen: Seen, now_ns: int) -> dict[str, Any]:
    result = seen.result
    return {
        "number": seen.number,
        "verdict": result.verdict.name,
        "score": _finite(result.score),
        "ratio": score_ratio(result),
        "p_value": _finite(result.p_value),
        "latency_ms": round(result.latency_s * 1e3, 2),
        "age_s": round(max(0.0, (now_ns - result.captured_ns) / 1e9), 2),
        "source": result.source,
        "reason": result.reason,
        "unix_s": seen.unix_s,
        "picture": seen.frame is not None,
        "verified": result.verified,
    }


def _camera(camera: _Camera, now_ns: int, absent: bool) -> dict[str, Any]:
    age_s = None if camera.last_ns is None else round((now_ns - camera.last_ns) / 1e9, 1)
    reason = camera.reason or ("it is not there" if absent else "")
    state = "error" if reason else "silent" if age_s is None or age_s > SILENT_S else "ok"
    return {
        "name": camera.name,
        "state": state,
        "age_s": age_s,
        "results": camera.results,
        "errors": camera.errors,
        "reason": reason,
    }


def _output(report: OutputReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "written": report.written,
        "lost": report.failed + report.dropped,
        "waiting": report.waiting,
        "error": report.error,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
