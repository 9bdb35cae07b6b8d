"""docs/faults.md lists every fault with the tests that inject it, as the tests say."""

from __future__ import annotations

import pytest

from .fault_table import BEGIN, END, FAULTS, PAGE, UNTESTED, proofs, replaced

NAMES = [name for group in FAULTS.values() for name in group]


def test_the_table_in_the_docs_is_that_of_the_tests() -> None:
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == replaced(page), "run: python tests/fault_table.py"


def test_there_are_sixty() -> None:
    assert len(NAMES) == len(set(NAMES)) == 60


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_has_a_test_or_a_reason(name: str) -> None:
    assert bool(proofs().get(name)) != (name in UNTESTED)
