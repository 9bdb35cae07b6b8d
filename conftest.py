"""The order in which the files of the tests begin."""

from __future__ import annotations

from collections import Counter

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, then those with many: at the end of `pytest -n` all processes have work.

    Slow ones go by folder: those of export/ and of toolkit/ make the same bundles, and would wait for each other.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    count = Counter(item.path for item in items if item.path not in slow)
    items.sort(key=lambda item: (item.path not in slow, -count[item.path], item.path))
