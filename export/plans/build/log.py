"""What TensorRT says while it builds: messages kept for errors, progress as one number, and a way to stop it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csflow.runtime.engines.tensorrt.library import Messages

__all__ = ["BuildLog", "Report", "make_monitor"]

Report = Callable[[float, str], None]
"""Called with the share that is done, from 0 to 1, and what is being done now."""
LAYERS = "Layers:"
"""How TensorRT for RTX begins the message with all layers of a plan."""


class BuildLog(Messages):
    """Messages of one build."""

    layers: str = ""
    """The message that lists the layers of the plan, where one came."""

    def add(self, message: str, is_error: bool) -> None:
        """Keep what is needed later."""
        super().add(message, is_error)
        if not is_error and message.startswith(LAYERS):
            self.layers = message


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class _Phases:
    """Nested phases of a build as one number that never falls."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: dict[str, _Phase] = {}
        self._reached = 0.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open[name] = _Phase(parent, max(steps, 1))
            self._tell(name)

    def step(self, name: str) -> None:
        with self._lock:
            if name in self._open:
                self._open[name].done += 1
                self._tell(name)

    def finish(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)

    def _tell(self, name: str) -> None:
        self._reached = max(self._reached, self._share(name))
        # A closed terminal must not end the build, and nothing may be raised through TensorRT.
        with contextlib.suppress(OSError, ValueError):
            self._report(self._reached, name)

    def _share(self, name: str) -> float:
        share = 0.0
        for _ in self._open:  # phases nest no deeper than there are
            phase = self._open.get(name)
            if phase is None:
                return 0.0
            share = min((phase.done + share) / phase.steps, 1.0)
            if phase.parent is None:
                return share
            name = phase.parent
        return 0.0


def make_monitor(trt: Any, report: Report, stop: threading.Event) -> Any:
    """A TensorRT progress monitor that calls `report`, and ends the build at its next step once `stop` is set.

    TensorRT may call it from any thread; nothing may be raised through it.
    """
    phases = _Phases(report)

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002 - TensorRT's signature
            phases.step(phase_name)
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
