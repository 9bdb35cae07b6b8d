"""Where tasks are done: one after the other in a process of their own, without Ray."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from csflow.export.fleet.task import Outcome, Task

__all__ = ["OneByOne", "Pool", "Work"]

PATIENCE_S = 20.0
Work = Callable[[Task], Outcome]


class Pool(Protocol):
    """Workers that may die."""

    @property
    def room(self) -> bool:
        """Whether another task may be started now."""

    def start(self, task: Task) -> None:
        """Begin a task, or queue it where it waits for cores."""

    def ended(self) -> tuple[Task, Outcome | None]:
        """Wait for the next task that ends; None: its worker died."""

    def close(self) -> None:
        """End every worker, whatever it does. May be called twice."""


class OneByOne:
    """One task at a time in a child process, which is started anew when it died."""

    def __init__(self, work: Work, log: Path) -> None:
        """Nothing is started yet.

        Args:
            work: a function at the top of a module, which the child imports.
            log: takes what libraries print in the child.
        """
        self._work, self._log = work, log
        self._child: _Child | None = None
        self._task: Task | None = None

    @property
    def room(self) -> bool:
        """Whether the child is idle."""
        return self._task is None

    def start(self, task: Task) -> None:
        """Send the task to the child."""
        hidden = task.product.entry.gpus == 0.0
        if self._child is not None and (self._child.hidden != hidden or not self._child.process.is_alive()):
            self.close()
        if self._child is None:
            self._child = _Child(self._work, self._log, hidden)
        self._task = task
        self._child.send(task)

    def ended(self) -> tuple[Task, Outcome | None]:
        """Wait for the child's answer, or its end."""
        task, child = self._task, self._child
        if task is None or child is None:
            raise RuntimeError("no task was started")
        outcome = child.answer()
        if outcome is None:
            self.close()
        self._task = None
        return task, outcome

    def close(self) -> None:
        """Let the child go, or kill it where it works."""
        if self._child is not None:
            self._child.end(0.0 if self._task else PATIENCE_S)
            self._child = None


class _Child:
    def __init__(self, work: Work, log: Path, hidden: bool) -> None:
        # Spawned, not forked: CUDA and the threads of numerical libraries do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.hidden = hidden
        self._connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, work, str(log), hidden), daemon=True)
        self.process.start()
        other.close()

    def send(self, task: Task) -> None:
        try:
            self._connection.send(task)
        except OSError:
            self.end(0.0)  # it has just died: `answer` tells so

    def answer(self) -> Outcome | None:
        try:
            wait([self._connection, self.process.sentinel])
            answer: Outcome = self._connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def end(self, patience_s: float) -> None:
        self._connection.close()
        self.process.join(patience_s)
        self.process.kill()
        self.process.join()


def _serve(connection: Connection[Any, Any], work: Work, log: str, hidden: bool) -> None:
    """The child: answers tasks until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hidden:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(work(task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    # The work of a minute or an hour would go on for nobody, beside that of the next driver.
    os._exit(1)
