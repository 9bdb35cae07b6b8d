"""The driver of a fleet: hands out tasks, tries again what failed, and lets no product stop another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csflow.export.fleet.pools import Pool
from csflow.export.fleet.products import Product
from csflow.export.fleet.task import VERBS, Outcome, Task

__all__ = ["Ending", "run_fleet"]


@dataclass(frozen=True)
class Ending:
    """What became of one product in this run."""

    product: Product
    outcome: Outcome
    tries: int


def run_fleet(
    tasks: Sequence[Task], pool: Pool, tries: int, tell: Callable[[str], None], shares: Mapping[str, Path] | None = None
) -> list[Ending]:
    """Do all tasks; returns an ending for each, in their order.

    A task whose worker dies, or that fails for a reason that may pass, is begun again until it was begun `tries` times.

    Args:
        tell: takes a line for each task that ends.
        shares: by name of product, the folder of features that it shares: until one product of a folder has ended
            well, only one of them runs, so that features are extracted once.
    """
    run = _Run(list(tasks), pool, tries, tell, shares or {})
    while run.waiting or run.running:
        run.start()
        run.end(*pool.ended())
    return [run.endings[task.product.name] for task in tasks]


class _Run:
    def __init__(
        self, tasks: list[Task], pool: Pool, tries: int, tell: Callable[[str], None], shares: Mapping[str, Path]
    ) -> None:
        self.waiting = tasks
        self.running: dict[str, Task] = {}
        self.endings: dict[str, Ending] = {}
        self._pool, self._tries, self._tell, self._shares = pool, tries, tell, shares
        self._count = len(tasks)
        self._begun: dict[str, int] = {}
        self._filled: set[Path] = set()

    def start(self) -> None:
        for task in list(self.waiting):
            if self._pool.room and not self._is_extracted_now(task):
                self.waiting.remove(task)
                self.running[task.product.name] = task
                self._begun[task.product.name] = self._begun.get(task.product.name, 0) + 1
                self._pool.start(task)

    def end(self, task: Task, outcome: Outcome | None) -> None:
        name = task.product.name
        del self.running[name]
        outcome = outcome or Outcome("its process was killed")
        begun = self._begun[name]
        if outcome.problem and not outcome.final and begun < self._tries:
            self._tell(f"{name}: {outcome.problem}; tried again ({begun + 1} of {self._tries})")
            self.waiting.append(task)
            return
        if not (outcome.problem or outcome.skipped) and name in self._shares:
            self._filled.add(self._shares[name])
        self.endings[name] = Ending(task.product, outcome, begun)
        self._tell(f"[{len(self.endings)}/{self._count}] {name}: {_words(task, outcome, begun)}")

    def _is_extracted_now(self, task: Task) -> bool:
        """Whether another product is about to fill the folder of features that this one reads."""
        folder = self._shares.get(task.product.name)
        if folder is None or folder in self._filled:
            return False
        return any(self._shares.get(name) == folder for name in self.running)


def _words(task: Task, outcome: Outcome, begun: int) -> str:
    if outcome.problem:
        return f"FAILED{f' {begun} times' if begun > 1 else ''}: {outcome.problem}"
    if outcome.skipped:
        return f"{VERBS[task.verb]} before"
    return f"{VERBS[task.verb]} in {outcome.seconds:.0f} s"
