"""What the page and the metrics show: counters, scores, cameras, the newest frame and the last rejects."""

from __future__ import annotations

import bisect
import itertools
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from csflow.runtime.page.cameras import CameraCounts, Cameras
from csflow.runtime.page.facts import PageInfo, Seen, finite, score_ratio
from csflow.runtime.page.files.shift import Shift
from csflow.runtime.schema import to_mapping
from csflow.runtime.sink import OutputReport
from csflow.runtime.sinks.summary import Tally
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["LiveState"]

SCORES = 300
REJECTS = 12
RATE_S = 10.0


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
        self._shift = time.time(), self.tally.summary().verdicts
        """Since when, in seconds since 1970, and what had been counted until then."""
        self._reports = reports
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._newest: Seen | None = None
        self._scores: deque[tuple[int, float | None, str]] = deque(maxlen=SCORES)
        self._times_ns: deque[int] = deque(maxlen=10_000)
        self._cameras = Cameras(info.cameras, info.triggered)
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
            self._cameras.note(seen)
            if result.verdict is not Verdict.OK:
                self._rejects.append(seen)

    def newest(self) -> Seen | None:
        """The newest result; None before the first."""
        with self._lock:
            return self._newest

    def newest_of_each(self) -> list[Seen]:
        """The newest result of each camera that has one, in the run's order."""
        with self._lock:
            return self._cameras.newest()

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
            cameras = self._cameras.counts(absent)
        return verdicts, cameras, self._reports()

    def latency(self) -> tuple[list[tuple[str, int]], float]:
        """(bound in seconds, results that took at most that long), the last bound '+Inf'; and the sum in seconds."""
        with self._lock:
            return self._latencies.cumulative(), self._latencies.sum_s

    def reset_shift(self) -> None:
        """Count the shift from now."""
        with self._lock:
            self._shift = time.time(), self.tally.summary().verdicts

    def go_on(self, shift: Shift) -> None:
        """Count on from what an earlier run had counted."""
        with self._lock:
            verdicts = self.tally.summary().verdicts
            self._shift = shift.since, {name: count - shift.counts[name] for name, count in verdicts.items()}

    def shift(self) -> Shift:
        """What was counted since the shift began."""
        with self._lock:
            return self._of_shift(self.tally.summary().verdicts)

    def snapshot(self, shown: Iterable[Seen], since: int) -> dict[str, Any]:
        """Everything the page shows as a JSON object.

        Args:
            shown: the results whose pictures and verdicts are on the page, one a camera.
            since: number of the last score that this page has; only newer ones are given.
        """
        absent = self._absent()
        with self._lock:
            now_ns = time.monotonic_ns()
            summary = self.tally.summary()
            mapping = {
                "run": self.run,
                "line": self.info.line,
                "bundle": self.info.bundle,
                "engine": self.info.engine,
                "distrust": self.info.distrust,
                "signed_by": self.info.signed_by,
                "unsigned": self.info.unsigned,
                "triggered": self.info.triggered,
                "warn_ratio": finite(self.info.warn_threshold / self.info.reject_threshold),
                "shown": [_shown(seen, now_ns) for seen in shown],
                "unix_s": round(time.time(), 3),
                "counts": summary.verdicts,
                "shift": to_mapping(self._of_shift(summary.verdicts)),
                "frames": summary.frames,
                "dropped": summary.dropped,
                "fps": self._fps(now_ns),
                "latency_ms": [
                    None if s is None else round(s * 1e3, 2)
                    for s in (summary.latency_p50_s, summary.latency_p95_s, summary.latency_p99_s)
                ],
                "cameras": list(self._cameras.to_mappings(absent, now_ns)),
                "scores": [s for s in self._scores if s[0] > since],
            }
        mapping["outputs"] = [_output(report) for report in self._reports()]
        return mapping

    def _of_shift(self, verdicts: dict[str, int]) -> Shift:
        since_s, before = self._shift
        return Shift(round(since_s, 3), {name: count - before[name] for name, count in verdicts.items()})

    def _fps(self, now_ns: int) -> float:
        recent = sum(1 for _ in itertools.takewhile(lambda t: now_ns - t < RATE_S * 1e9, reversed(self._times_ns)))
        return round(recent / RATE_S, 2)


def _shown(seen: Seen, now_ns: int) -> dict[str, Any]:
    return {**seen.to_mapping(), "age_s": round(max(0.0, (now_ns - seen.result.captured_ns) / 1e9), 2)}


def _output(report: OutputReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "written": report.written,
        "lost": report.failed + report.dropped,
        "waiting": report.waiting,
        "error": report.error,
    }
