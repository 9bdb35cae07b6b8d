"""The limits of the decision gate, which are stated where users read them and are not widened for an engine."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.golden import GoldenFrame, GoldenSet
from csflow.runtime.engines.golden_check import (
    BAND,
    TOLERANCES,
    TOLERANCES_FORMAT_1,
    GoldenCheck,
    check_golden,
    golden_problems,
    tolerances,
)
from csflow.runtime.types import Frame, Prediction

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


AT_START = [
    ("torch-fp32", True, 0.25, 0.1),
    ("openvino-bf16", True, 0.25, 0.1),
    ("openvino-int8", True, 0.5, 0.15),
    ("torch-fp32", False, 0.05, 0.1),
    ("openvino-int8", False, 0.1, 0.15),
]


@pytest.mark.parametrize(("name", "by_spread", "score", "anomaly_map"), AT_START)
def test_an_engine_starts_up_to_what_its_precision_or_another_machine_explains(
    name: str, by_spread: bool, score: float, anomaly_map: float
) -> None:
    assert GoldenCheck(8, 0, score, anomaly_map, by_spread).passed(name)
    assert not GoldenCheck(8, 0, score * 1.001, 0.0, by_spread).passed(name)
    assert not GoldenCheck(8, 0, 0.0, anomaly_map * 1.001, by_spread).passed(name)
    assert not GoldenCheck(8, 1, 0.0, 0.0, by_spread).passed(name)
    assert not GoldenCheck(8, 0, math.nan, 0.0, by_spread).passed(name)


@pytest.mark.parametrize("by_spread", [True, False])
@pytest.mark.parametrize("precision", sorted(TOLERANCES))
def test_the_gate_takes_what_lies_at_a_limit_and_names_what_lies_beyond(precision: str, by_spread: bool) -> None:
    limits = (TOLERANCES if by_spread else TOLERANCES_FORMAT_1)[precision]
    name = f"openvino-{precision}"
    assert golden_problems(name, limits.score, limits.map, by_spread) == []
    (score,) = golden_problems(name, limits.score * 1.001, limits.map, by_spread)
    (anomaly_map,) = golden_problems(name, limits.score, limits.map * 1.001, by_spread)
    assert score.startswith("a score on the golden frames is off by")
    assert ("spread of good scores" in score) is by_spread
    assert anomaly_map.startswith("a map on the golden frames is off by")
    assert len(golden_problems(name, math.nan, math.nan, by_spread)) == 2


class Says:
    """An engine that gives these scores in turn, and a map of one value."""

    name = "says"

    def __init__(self, scores: Sequence[float], value: float = 4.0) -> None:
        self._scores = iter(scores)
        self._value = value

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """The next score."""
        return [Prediction(next(self._scores), np.full((2, 2), self._value, np.float32)) for _ in frames]


def golden(*scores: float, spread: tuple[float, float] | None = None) -> GoldenSet:
    frame = Frame(np.zeros((8, 8, 3), np.uint8))
    return GoldenSet(tuple((frame, GoldenFrame("0.png", "good", s, ((4.0, 4.0), (4.0, 4.0)))) for s in scores), spread)


@pytest.mark.parametrize(
    ("expected", "got", "spread", "error"),
    [
        (2.0, 2.5, None, 0.25),  # format 1: of the score
        (2.0, 2.5, (1.0, 4.0), 0.125),  # of the spread of good scores
        (9.0, 10.0, (1.0, 4.0), 0.125),  # of the distance to their mean, where that is farther
        (1.0, 0.5, (5.0, 2.0), 0.125),
        (2.0, math.inf, (1.0, 4.0), math.inf),
        (2.0, math.nan, None, math.inf),
    ],
)
def test_the_error_of_a_score_is_a_share_of_what_good_parts_vary_by(
    expected: float, got: float, spread: tuple[float, float] | None, error: float
) -> None:
    check = check_golden(Says([got]), golden(expected, spread=spread), None)  # type: ignore[arg-type]
    assert (check.frames, check.flips, check.score_error, check.map_error) == (1, 0, error, 0.0)
    assert check.by_spread is (spread is not None)


@pytest.mark.parametrize(("value", "error"), [(5.0, 0.25), (3.0, 0.25), (math.nan, math.inf)])
def test_the_error_of_a_map_is_a_share_of_its_sum(value: float, error: float) -> None:
    assert check_golden(Says([1.0], value), golden(1.0), None).map_error == error  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "got", "flips"),
    [
        (0.98, 1.02, 1),  # OK and UNCERTAIN
        (2.02, 1.98, 1),  # NOK and UNCERTAIN
        (1.9, 1.1, 0),
        (0.996, 1.004, 0),  # both within the band around the threshold
        (0.996, 1.006, 1),  # one of them outside
        (1.992, 2.008, 0),  # the band is a share of the threshold
    ],
)
def test_a_verdict_that_differs_counts_outside_of_the_band_alone(expected: float, got: float, flips: int) -> None:
    calibration = Calibration(2.0, 1.0, 0.05, 0.95, 0.05, 0.05, (0.5,), "model", "torch", "now")
    assert check_golden(Says([got]), golden(expected), calibration).flips == flips  # type: ignore[arg-type]
