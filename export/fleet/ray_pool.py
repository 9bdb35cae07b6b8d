"""Tasks on Ray: as many side by side as cores and GPUs allow, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from csflow.export.fleet.pools import Work
from csflow.export.fleet.products import Product
from csflow.export.fleet.task import Outcome, Task
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install

__all__ = ["RayPool"]

STORE_BYTES = 100 << 20
"""Of Ray's object store; tasks and their answers are a few kilobytes."""


class RayPool:
    """A Ray of this machine, begun and ended here, or one that runs elsewhere."""

    def __init__(self, work: Work, products: tuple[Product, ...], address: str | None, cores: int | None) -> None:
        """Connect, and see that every product can find a machine.

        Args:
            work: a function at the top of a module that every machine has installed.
            address: of a running Ray ('10.0.0.1:6379'); None begins one here.
            cores: how many of this machine's cores are used; None: all. Of a cluster Ray knows.

        Raises BackendUnavailable without Ray or where none answers, ConfigError where a product asks for more cores or
        GPUs than any machine has.
        """
        # Ray tells its makers how it is used, unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise BackendUnavailable(f"Ray cannot be loaded ({error}): {pip_install('fleet')}") from None
        here: dict[str, Any] = {"num_cpus": cores, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        where = {"address": address} if address else {"address": "local", **here}
        # Ray's listener prints about dead workers where a command writes its table.
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
        except (ConnectionError, RuntimeError, ValueError) as error:
            self._quiet.close()
            told = f"at {address}" if address else "here"
            raise BackendUnavailable(f"no Ray {told} ({' '.join(str(error).split())[:200]})") from None
        self._ray = ray
        self._running: dict[Any, Task] = {}
        try:
            self._machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            for product in products:
                self._require_machine(product)
        except BaseException:
            self.close()
            raise
        # Tried again by the driver, which counts and tells; a process that has had a GPU gives it back.
        self._remote = ray.remote(max_retries=0)(work)

    @property
    def room(self) -> bool:
        """Always: Ray queues."""
        return True

    def start(self, task: Task) -> None:
        """Queue the task."""
        cores, gpus = task.product.entry.cores, self._gpus(task.product)
        name = f"{task.verb} {task.product.name}"
        reference = self._remote.options(num_cpus=cores, num_gpus=gpus, name=name).remote(task)
        self._running[reference] = task

    def ended(self) -> tuple[Task, Outcome | None]:
        """Wait for the next that ends."""
        (reference, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        task = self._running.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # A machine of the cluster that lacks csflow, or has another one.
            return task, Outcome(" ".join(str(error).split())[-300:])
        except self._ray.exceptions.RayError:
            return task, None
        return task, outcome

    def close(self) -> None:
        """End the workers, and the Ray that was begun here. May be called twice."""
        self._ray.shutdown()
        self._quiet.close()

    def _gpus(self, product: Product) -> float:
        asked = product.entry.gpus
        return float(any("GPU" in machine for machine in self._machines)) if asked is None else asked

    def _require_machine(self, product: Product) -> None:
        needed = {"CPU": product.entry.cores, "GPU": self._gpus(product)}
        if not any(all(machine.get(kind, 0) >= n for kind, n in needed.items()) for machine in self._machines):
            most = {kind: max((machine.get(kind, 0) for machine in self._machines), default=0) for kind in needed}
            raise ConfigError(
                f"{product.name} asks for {needed['CPU']} cores and {needed['GPU']:g} GPUs; no machine has both "
                f"(at most {most['CPU']:g} and {most['GPU']:g}): lower cores or gpus in products.toml"
            )
