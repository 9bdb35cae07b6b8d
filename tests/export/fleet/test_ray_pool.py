"""What Ray is asked for, and what is said where it has not got it; no Ray is started."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from csflow.export.fleet.ray_pool import RayPool
from csflow.export.fleet.task import Outcome, Task
from csflow.runtime.errors import BackendUnavailable, ConfigError

from .conftest import MakeTasks


class FakeRay:
    """As much of Ray's interface as the pool uses: a cluster of these machines."""

    def __init__(self, *machines: dict[str, float]) -> None:
        self.machines = machines
        self.asked: list[dict[str, Any]] = []
        self.began: dict[str, Any] = {}
        self.ended = 0

    def init(self, **how: Any) -> None:
        self.began = how
        if how["address"] == "nowhere:1":
            raise ConnectionError("nobody answers")

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": machine} for machine in self.machines]

    def remote(self, **_how: Any) -> Callable[[Any], Any]:
        def options(**asked: Any) -> Any:
            self.asked.append(asked)
            return SimpleNamespace(remote=lambda task: task)

        return lambda _work: SimpleNamespace(options=options)

    def shutdown(self) -> None:
        self.ended += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay({"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0})
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def asking(task: Task, **more: Any) -> Task:
    entry = dataclasses.replace(task.product.entry, **more)
    return dataclasses.replace(task, product=dataclasses.replace(task.product, entry=entry))


def work(_task: Task) -> Outcome:
    return Outcome()


def test_cores_and_gpus_are_resources(ray: FakeRay, tasks_of: MakeTasks) -> None:
    (task,) = tasks_of("fine")
    tasks = [task, asking(task, cores=4, gpus=0.0), asking(task, gpus=0.5)]
    pool = RayPool(work, tuple(task.product for task in tasks), "10.0.0.1:6379", None)
    for task in tasks:
        pool.start(task)
    assert [(asked["num_cpus"], asked["num_gpus"]) for asked in ray.asked] == [(1, 1.0), (4, 0.0), (1, 0.5)]
    assert ray.began["address"] == "10.0.0.1:6379"
    assert "num_cpus" not in ray.began, "a cluster knows its own"
    assert sys.stdout is sys.stderr, "what Ray prints is no part of a table"
    pool.close()
    pool.close()
    assert sys.stdout is not sys.stderr


def test_a_product_that_no_machine_can_hold_is_refused(ray: FakeRay, tasks_of: MakeTasks) -> None:
    (task,) = tasks_of("fine")
    with pytest.raises(ConfigError, match="a asks for 4 cores and 1 GPUs; no machine has both"):
        RayPool(work, (asking(task, cores=4).product,), None, 4)
    assert ray.ended == 1


def test_a_cluster_that_does_not_answer(ray: FakeRay, tasks_of: MakeTasks) -> None:
    with pytest.raises(BackendUnavailable, match="no Ray at nowhere:1"):
        RayPool(work, (tasks_of("fine")[0].product,), "nowhere:1", None)
    assert ray.ended == 0
    assert sys.stdout is not sys.stderr


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match="fleet"):
        RayPool(work, (), None, None)
