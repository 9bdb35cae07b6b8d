"""The bench of the page in its smallest form: without people, and what these would ask for."""

from __future__ import annotations

import pytest

from .bench_page import measure, pictures


def test_a_page_that_nobody_watches_costs_something() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    assert 0.0 < measure(2, 0, 50.0, 0.1) < 60.0


def test_both_addresses_of_pictures_are_asked_for() -> None:
    now = {"shown": [{"number": 7}, {"number": 8}], "rejects": [{"number": 3}]}
    assert pictures(now) == ["part/7/overlay.jpg", "part/8/overlay.jpg", "part/3/thumbnail.jpg"]
    assert pictures({"shown": {"number": 7}, "rejects": []}) == ["frame/7.jpg"]
    assert pictures({"shown": None, "rejects": [{"number": 3}]}) == ["thumbnail/3.jpg"]
