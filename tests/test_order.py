"""The order in which `pytest -n` begins the files: what takes long is never left to one process at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()


@dataclass(frozen=True)
class Item:
    path: Path
    name: str
    slow: bool = False

    def get_closest_marker(self, name: str) -> bool:
        return name == "slow" and self.slow


def test_files_with_slow_tests_begin_then_those_with_many(pytestconfig: pytest.Config) -> None:
    of = {name: Path(name) for name in ("a", "b", "c", "d", "e")}
    items = [
        Item(of["a"], "1"),
        *(Item(of["b"], str(i)) for i in range(3)),
        Item(of["c"], "1"),
        Item(of["c"], "2", slow=True),
        *(Item(of["d"], str(i)) for i in range(4)),
        *(Item(of["e"], str(i), slow=i == 2) for i in range(5)),
    ]
    plugins = [plugin for _, plugin in pytestconfig.pluginmanager.list_name_plugin()]
    root = str(Path(__file__).parents[1] / "conftest.py")
    (order,) = (p.pytest_collection_modifyitems for p in plugins if getattr(p, "__file__", "") == root)
    order(items)
    assert "".join(str(item.path) for item in items) == "cceeeeeddddbbba"
    assert [item.name for item in items[:2]] == ["1", "2"]


def test_make_keeps_that_order() -> None:
    """By itself pytest-xdist begins with the files that have many tests."""
    assert "--dist=loadfile --no-loadscope-reorder" in MAKEFILE
