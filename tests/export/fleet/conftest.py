"""Products of a fleet whose work is a stand-in."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from csflow.export.fleet.products import Entry, Product
from csflow.export.fleet.task import Outcome, Task

HERE = Path(__file__).parent
MakeTasks = Callable[..., list[Task]]


@pytest.fixture
def tasks_of(tmp_path: Path) -> MakeTasks:
    """`tasks_of("fine", "dies once", ...)`: a task for each, of products a, b, ..."""

    def make(*whats: str) -> list[Task]:
        products = (Product(chr(97 + i), Entry(images=".", method=what), tmp_path) for i, what in enumerate(whats))
        return [Task("train", product, tmp_path) for product in products]

    return make


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Outcome]:
    """The work, in a module that child processes find."""
    folder = tmp_path_factory.mktemp("stand_in")
    shutil.copy(HERE / "stand_in.py", folder / "fleet_stand_in.py")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))  # for Ray's workers
    import fleet_stand_in

    work: Callable[[Task], Outcome] = fleet_stand_in.work
    return work


@pytest.fixture
def small() -> Callable[..., Entry]:
    """`small(images, **more)`: a product that is trained in a second or two."""
    plain = Entry(images="", backbone="tf_efficientnet_lite0", image_size=128, method="mahalanobis")
    return lambda images, **more: dataclasses.replace(plain, images=str(images), **more)
