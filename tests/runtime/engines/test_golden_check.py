"""The limits of the decision gate, which are stated where users read them and are not widened for an engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csflow.runtime.engines.golden_check import BAND, TOLERANCES, TOLERANCES_FORMAT_1, tolerances

PAGE = Path(__file__).resolve().parents[3] / "docs" / "verify.md"
ROW = re.compile(r"^\| (\w+) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) % \|$", re.M)


def test_the_limits_are_those_that_the_documentation_states() -> None:
    stated = {name: [float(v) / 100 for v in values] for name, *values in ROW.findall(PAGE.read_text())}
    applied = {n: [t.score, t.map, TOLERANCES_FORMAT_1[n].score] for n, t in TOLERANCES.items()}
    assert stated.keys() == applied.keys()
    for name, limits in applied.items():
        assert stated[name] == pytest.approx(limits), name
    assert all(TOLERANCES_FORMAT_1[name].map == t.map for name, t in TOLERANCES.items())
    assert BAND == 0.005


@pytest.mark.parametrize("by_spread", [True, False])
def test_of_several_precisions_the_narrowest_counts(by_spread: bool) -> None:
    assert tolerances("openvino-fp32+bf16", by_spread) == tolerances("openvino-bf16", by_spread)
    assert tolerances("openvino-int8+bf16", by_spread) == tolerances("openvino-int8", by_spread)
