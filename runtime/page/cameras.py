"""What is known of each camera of a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from csflow.runtime.page.facts import Seen
from csflow.runtime.types import Result, Verdict

__all__ = ["CameraCounts", "Cameras"]

SILENT_S = 5.0
AWAY = ("lost", "timeout")
"""Faults of a camera that gives nothing."""


@dataclass
class _Camera:
    name: str
    results: int = 0
    errors: int = 0
    last_ns: int | None = None
    last_unix_s: float | None = None
    """Wall clock at capture of its newest result, in seconds since 1970."""
    newest: Seen | None = None
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


class Cameras:
    """The cameras of a run, in its order; not for several threads at once."""

    def __init__(self, names: Iterable[str], triggered: bool) -> None:
        """Nothing has come from any of them."""
        self._cameras = {name: _Camera(name) for name in names}
        self._idle = "waiting" if triggered else "silent"

    def note(self, seen: Seen) -> None:
        """Take a result; one of a camera that was not named is left out."""
        camera = self._cameras.get(seen.result.camera)
        if camera is not None:
            result: Result = seen.result
            failed = result.verdict is Verdict.ERROR
            camera.results += 1
            camera.errors += failed
            camera.last_ns = time.monotonic_ns()
            camera.last_unix_s = result.captured_unix_ns / 1e9
            camera.newest = seen
            camera.fault = result.fault
            camera.reason = result.reason if failed else ""

    def newest(self) -> list[Seen]:
        """The newest result of each that has one."""
        return [camera.newest for camera in self._cameras.values() if camera.newest is not None]

    def counts(self, absent: Collection[str]) -> dict[str, CameraCounts]:
        """By name; `absent` are those that are not there."""
        return {
            c.name: CameraCounts(c.results, c.errors, c.last_unix_s, c.name not in absent and c.fault not in AWAY)
            for c in self._cameras.values()
        }

    def to_mappings(self, absent: Collection[str], now_ns: int) -> Iterator[dict[str, Any]]:
        """Of each as JSON: its `state` is lost, error, silent (or waiting, for a trigger) or ok."""
        for camera in self._cameras.values():
            age_s = None if camera.last_ns is None else round((now_ns - camera.last_ns) / 1e9, 1)
            away = camera.name in absent
            yield {
                "name": camera.name,
                "state": self._state(camera, away, age_s),
                "age_s": age_s,
                "results": camera.results,
                "errors": camera.errors,
                "reason": camera.reason or ("it is not there" if away else ""),
            }

    def _state(self, camera: _Camera, away: bool, age_s: float | None) -> str:
        if away or camera.fault in AWAY:
            return "lost"
        if camera.reason:
            return "error"
        return self._idle if age_s is None or age_s > SILENT_S else "ok"
