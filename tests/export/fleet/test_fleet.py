"""The driver: tries, order, shared features; pools of one child process and of Ray, whose workers die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from csflow.export.fleet.fleet import run_fleet
from csflow.export.fleet.pools import OneByOne, Pool
from csflow.export.fleet.task import Outcome, Task

from .conftest import MakeTasks

Work = Callable[[Task], Outcome]
WHATS = ("fine", "dies once", "wrong", "fails", "dies", "fine")


class AtOnce:
    """A pool of many workers that answers in the order of starts, or as `answers` has it."""

    room = True

    def __init__(self, answer: Callable[[Task], Outcome | None]) -> None:
        self.running: list[Task] = []
        self.most: list[set[str]] = []
        self._answer = answer

    def start(self, task: Task) -> None:
        self.running.append(task)
        self.most.append({running.product.name for running in self.running})

    def ended(self) -> tuple[Task, Outcome | None]:
        task = self.running.pop(0)
        return task, self._answer(task)

    def close(self) -> None:
        """Nothing to end."""


def begun(tasks: list[Task]) -> list[int]:
    return [len((task.work / task.product.name).read_text().splitlines()) for task in tasks]


def judged(tasks: list[Task], pool: Pool) -> None:
    """What every pool gives of `WHATS` with two tries."""
    told: list[str] = []
    try:
        endings = run_fleet(tasks, pool, 2, told.append)
    finally:
        pool.close()
    assert [ending.product.name for ending in endings] == list("abcdef")
    killed = "its process was killed"
    assert [ending.outcome.problem for ending in endings] == [
        "",
        "",
        "settings are wrong",
        "the network is away",
        killed,
        "",
    ]
    assert [ending.tries for ending in endings] == [1, 2, 1, 2, 2, 1]
    assert begun(tasks) == [1, 2, 1, 2, 2, 1]
    assert len([line for line in told if line.startswith("[")]) == 6
    assert "b: its process was killed; tried again (2 of 2)" in told


def test_one_by_one_a_product_that_dies_stops_no_other(tasks_of: MakeTasks, stand_in: Work, tmp_path: Path) -> None:
    judged(tasks_of(*WHATS), OneByOne(stand_in, tmp_path / "worker.log"))


def test_on_ray_a_product_that_dies_stops_no_other(tasks_of: MakeTasks, stand_in: Work) -> None:
    pytest.importorskip("ray", reason="the extra fleet is not installed")
    from csflow.export.fleet.ray_pool import RayPool

    tasks = tasks_of(*WHATS)
    judged(tasks, RayPool(stand_in, tuple(task.product for task in tasks), None, 2))


@pytest.mark.usefixtures("stand_in")
def test_a_child_ends_with_its_driver(tmp_path: Path) -> None:
    # A driver of its own, which is killed while the child works.
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from fleet_stand_in import work
from csflow.export.fleet.pools import OneByOne
from csflow.export.fleet.products import Entry, Product
from csflow.export.fleet.task import Task
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    pool = OneByOne(work, folder / "worker.log")
    pool.start(Task("train", Product("a", Entry(images=".", method="hangs"), folder), folder))
    print("started", flush=True)
    pool.ended()
"""
    script = tmp_path / "driver.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"started\n"
        until = time.monotonic() + 60.0
        while not ((tmp_path / "a").exists() and (tmp_path / "a").read_text().strip()):
            assert time.monotonic() < until
            time.sleep(0.02)
        child = Path("/proc") / (tmp_path / "a").read_text().strip()
        driver.kill()
    until = time.monotonic() + 60.0
    while child.exists():
        assert time.monotonic() < until, "the child works on for nobody"
        time.sleep(0.02)


def test_a_product_that_failed_once_comes_again_after_the_others(tasks_of: MakeTasks) -> None:
    answers = {"a": [None, Outcome()], "b": [Outcome()], "c": [Outcome()]}
    told: list[str] = []
    endings = run_fleet(tasks_of("x", "x", "x"), AtOnce(lambda task: answers[task.product.name].pop(0)), 2, told.append)
    assert [ending.tries for ending in endings] == [2, 1, 1]
    assert [line.split()[1].rstrip(":") for line in told if line.startswith("[")] == ["b", "c", "a"]


def test_features_are_extracted_by_one_product_while_the_others_wait(tasks_of: MakeTasks) -> None:
    # The first fails, the second was done before and fills nothing, the third fills the folder.
    answers = {"a": Outcome("no", final=True), "b": Outcome(skipped=True), "c": Outcome(), "d": Outcome()}
    pool = AtOnce(lambda task: answers[task.product.name])
    shares = {name: Path("x") for name in "abcd"}
    tasks = tasks_of("x", "x", "x", "x", "x")
    answers["e"] = Outcome()
    assert len(run_fleet(tasks, pool, 2, lambda _line: None, shares)) == 5
    assert pool.most[:2] == [{"a"}, {"a", "e"}]
    assert all(len(running & set("abcd")) == 1 for running in pool.most)


def test_more_products_of_a_folder_run_side_by_side_once_it_is_filled(tasks_of: MakeTasks) -> None:
    pool = AtOnce(lambda _task: Outcome())
    run_fleet(tasks_of("x", "x", "x"), pool, 2, lambda _line: None, {name: Path("x") for name in "abc"})
    assert pool.most == [{"a"}, {"b"}, {"b", "c"}]
