"""Laws of the verdict and of the p-value, and what a hand-edited calibration.json may hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import MAX_SCORES, Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import CalibrationError
from csflow.runtime.types import Verdict

BASE = Calibration(0.6, 0.5, 0.01, 0.95, 0.02, 0.05, (0.1, 0.2, 0.2, 0.5), "0" * 64, "fake", "2026-01-01T00:00:00Z")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)
SEVERITY = {Verdict.OK: 0, Verdict.UNCERTAIN: 1, Verdict.NOK: 2}


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    warn, reject = sorted((draw(SCORES), draw(SCORES)))
    scores = tuple(sorted(draw(st.lists(SCORES, min_size=1, max_size=30))))
    return replace(BASE, warn_threshold=warn, reject_threshold=reject, scores=scores)


@given(calibrations(), SCORES, SCORES)
def test_a_higher_score_is_never_judged_milder_nor_more_probable(rule: Calibration, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert SEVERITY[rule.verdict(low)] <= SEVERITY[rule.verdict(high)]
    assert rule.p_value(low) >= rule.p_value(high)


@given(calibrations())
def test_thresholds_belong_to_the_milder_side(rule: Calibration) -> None:
    assert rule.verdict(rule.warn_threshold) is Verdict.OK
    above = math.nextafter(rule.warn_threshold, math.inf)
    if above <= rule.reject_threshold:
        assert rule.verdict(above) is Verdict.UNCERTAIN
        assert rule.verdict(rule.reject_threshold) is Verdict.UNCERTAIN
    beyond = math.nextafter(rule.reject_threshold, math.inf)
    assert rule.verdict(beyond) is (Verdict.NOK if math.isfinite(beyond) else Verdict.ERROR)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_an_error_without_p_value(score: float) -> None:
    assert BASE.verdict(score) is Verdict.ERROR
    assert math.isnan(BASE.p_value(score))


@given(calibrations(), st.floats(max_value=0.0))
def test_a_score_that_no_picture_has_is_an_error(rule: Calibration, score: float) -> None:
    assert rule.verdict(score) is Verdict.ERROR


@given(calibrations(), FINITE)
def test_p_value_counts_the_scores_at_least_as_high(rule: Calibration, score: float) -> None:
    n = len(rule.scores)
    assert rule.p_value(score) == (1 + sum(s >= score for s in rule.scores)) / (n + 1)
    assert 1 / (n + 1) <= rule.p_value(score) <= 1


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_p_value_is_conformally_valid(values: list[float]) -> None:
    """Each of n + 1 exchangeable scores held out in turn: at most a share alpha has p <= alpha."""
    p_values = sorted(
        replace(BASE, scores=tuple(sorted(values[:i] + values[i + 1 :]))).p_value(values[i]) for i in range(len(values))
    )
    for rank, p in enumerate(p_values, start=1):
        assert rank <= p * len(values) + 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"warn_threshold": 0.7},
        {"warn_threshold": math.nan},
        {"reject_threshold": math.nan},
        {"reject_threshold": math.inf},
        {"scores": ()},
        {"scores": (0.2, 0.1)},
        {"scores": (0.1, math.nan)},
        {"scores": (0.0,) * (MAX_SCORES + 1)},
        {"confidence": 1.01},
        {"false_reject_rate": -0.01},
        {"bound": math.nan},
        {"warn_rate": 2.0},
        {"format_version": 2},
    ],
)
def test_an_impossible_calibration_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|expected|not read"):
        replace(BASE, **change)


# --- calibration.json ---------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Any) -> Bundle:
    manifest = Manifest(Preprocessing(64), Definitions(), {}, {}, {})
    return Bundle.create(tmp_path / "b", manifest, {"weights/flow.safetensors": b"x"})


def write(bundle: Bundle, **changes: Any) -> None:
    body = schema.to_mapping(replace(BASE, weights_sha256=bundle.weights_sha256))
    bundle.write_calibration(json.dumps({**body, **changes}).encode())


def test_an_uncalibrated_bundle_has_none(bundle: Bundle) -> None:
    assert load_calibration(bundle) is None


def test_round_trip(bundle: Bundle) -> None:
    write(bundle)
    assert load_calibration(bundle) == replace(BASE, weights_sha256=bundle.weights_sha256)


def test_a_threshold_edited_by_hand_counts(bundle: Bundle) -> None:
    write(bundle, reject_threshold=2)
    rule = load_calibration(bundle)
    assert rule is not None
    assert rule.verdict(1.9) is Verdict.UNCERTAIN


@pytest.mark.fault("M6")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reject_threshold": 0.1}, "warn_threshold must not lie above"),
        ({"reject_threshold": "0.6"}, "reject_threshold: expected float, got str"),
        ({"reject_threshold": None}, "reject_threshold: expected float, got null"),
        ({"reject_treshold": 1}, "did you mean 'reject_threshold'"),
        ({"scores": [3, 2]}, "ascending"),
        ({"confidence": 95}, r"confidence must lie in 0\.\.1"),
        ({"format_version": 9}, "format_version 9"),
        ({"weights_sha256": "0" * 64}, "belongs to another model"),
    ],
)
def test_a_bad_edit_is_refused_with_its_place(bundle: Bundle, change: dict[str, Any], message: str) -> None:
    write(bundle, **change)
    with pytest.raises(CalibrationError, match=message) as caught:
        load_calibration(bundle)
    assert "csflow calibrate" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"reject_threshold": NaN}'])
def test_what_is_no_calibration_is_refused(bundle: Bundle, data: bytes) -> None:
    bundle.write_calibration(data)
    with pytest.raises(CalibrationError, match=r"calibration\.json"):
        load_calibration(bundle)


def test_thresholds_do_not_survive_new_weights(bundle: Bundle) -> None:
    write(bundle)
    retrained = bundle.update({"weights/flow.safetensors": b"y"})
    with pytest.raises(CalibrationError, match="another model"):
        load_calibration(retrained)
