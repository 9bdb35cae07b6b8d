"""Records of the decision gate: judged by the thresholds of today, bound to files and weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import (
    VERIFICATION,
    EngineRecord,
    Figures,
    Verification,
    compare_decisions,
    levels,
    load_verification,
)
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files
from csflow.runtime.errors import BundleCorrupted
from csflow.runtime.types import Verdict

FIGURES = Figures(2, 2, 0.0, 0.0, None, 1.0, 1.0, 0.0, 0.0, None, None, 0.0, 0.0)
NUMBERS = {Verdict.ERROR: -1, Verdict.OK: 0, Verdict.UNCERTAIN: 1, Verdict.NOK: 2}


def calibration(warn: float, reject: float) -> Calibration:
    return Calibration(reject, warn, 0.05, 0.95, 0.05, 0.1, (0.1,), "", "", "")


def a_record(reference: tuple[float, ...], scores: tuple[float | None, ...], **changes: object) -> EngineRecord:
    record = EngineRecord(
        {}, "lib 1", "cpu", "0.1", "now", "golden frames", 0.005, reference, scores, FIGURES, (), None, None, True
    )
    return replace(record, **changes)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20),
    st.floats(1e-3, 1e3),
    st.floats(0, 1e3),
)
def test_both_statements_of_the_rule_agree(scores: list[float], warn: float, more: float) -> None:
    rule = calibration(warn, warn + more)
    probes = [*scores, warn, warn + more, float(np.nextafter(warn, np.inf)), float(np.nextafter(warn + more, np.inf))]
    assert [NUMBERS[rule.verdict(s)] for s in probes] == levels(probes, (warn, warn + more)).tolist()


def test_a_flip_counts_unless_both_scores_lie_in_the_band() -> None:
    thresholds, band = (1.0, 2.0), 0.01
    reference = (0.5, 0.995, 0.995, 1.5, 2.005)
    assert compare_decisions(reference, reference, thresholds, band).flips == 0
    found = compare_decisions(reference, (0.5, 1.005, 1.02, 2.5, 1.995), thresholds, band)
    assert (found.flips, found.flips_in_band) == (2, 2)
    assert found.smallest_margin == pytest.approx(0.0025)
    assert found.margin_used == pytest.approx(2.0), "1.5 moved by 1, twice its distance to a threshold"


def test_a_score_that_is_none_always_differs() -> None:
    found = compare_decisions((1.0, 3.0), (None, 3.0), (1.0, 2.0), 0.01)
    assert (found.flips, found.flips_in_band) == (1, 0)


def test_a_record_is_judged_by_the_thresholds_of_today() -> None:
    record = a_record((0.50, 0.80, 1.50), (0.51, 0.82, 1.52))
    assert record.problems(None) == []
    assert record.problems(calibration(0.6, 1.0)) == []
    (problem,) = record.problems(calibration(0.6, 0.81))
    assert problem.startswith("1 of 3 verdicts differ")
    faulty = replace(record, faults=("the image AUROC changed",))
    assert faulty.problems(calibration(0.6, 1.0)) == ["the image AUROC changed"]


def test_a_record_survives_the_file_and_nothing_else_is_read(calibrated_bundle: Bundle) -> None:
    record = a_record((0.5, 1.5), (0.5, None))
    assert load_verification(calibrated_bundle) is None
    written = Verification(calibrated_bundle.weights_sha256, {"openvino-fp32": record})
    bundle = calibrated_bundle.update({VERIFICATION: written.to_bytes()})
    assert load_verification(bundle) == written
    other = replace(written, weights_sha256="0" * 64)
    assert load_verification(bundle.update({VERIFICATION: other.to_bytes()})) is None


@pytest.mark.parametrize(
    ("key", "value"), [("scores", [0.5]), ("scores", []), ("band", 2.0), ("passed", 1), ("surplus", 1)]
)
def test_a_malformed_record_is_refused_in_words(calibrated_bundle: Bundle, key: str, value: object) -> None:
    written = Verification(calibrated_bundle.weights_sha256, {"openvino-fp32": a_record((0.5, 1.5), (0.5, 1.5))})
    data = json.loads(written.to_bytes())
    data["engines"]["openvino-fp32"][key] = value
    bundle = calibrated_bundle.update({VERIFICATION: json.dumps(data).encode()})
    with pytest.raises(BundleCorrupted, match="csflow verify"):
        load_verification(bundle)


def test_a_version_to_come_is_refused_in_words(calibrated_bundle: Bundle) -> None:
    data = {"weights_sha256": "", "engines": {}, "format_version": 2}
    bundle = calibrated_bundle.update({VERIFICATION: json.dumps(data).encode()})
    with pytest.raises(BundleCorrupted, match="format_version 2"):
        load_verification(bundle)


def test_an_engine_is_known_by_the_files_it_runs(calibrated_bundle: Bundle) -> None:
    names = ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx", "graphs/int8/flow.onnx")
    bundle = calibrated_bundle.update({name: name.encode() for name in names})
    assert tuple(engine_files(bundle, EngineName.parse("openvino-bf16"))) == names[:2]
    assert tuple(engine_files(bundle, EngineName.parse("openvino-int8"))) == (names[0], names[2])
    assert engine_files(bundle, EngineName.parse("torch-fp16")) == {}
    folder = bundle.path / "engines" / "tensorrt-rtx" / "fp16"
    folder.mkdir(parents=True)
    (folder / "flow.plan").write_bytes(b"plan")
    before = engine_files(bundle, EngineName.parse("tensorrt-rtx-fp16"))
    assert list(before) == ["engines/tensorrt-rtx/fp16/flow.plan"]
    (folder / "flow.plan").write_bytes(b"another")
    assert engine_files(bundle, EngineName.parse("tensorrt-rtx-fp16")) != before


@pytest.mark.parametrize(
    ("old_passed", "pictures", "new_passed", "stays"),
    [(False, 2, True, True), (False, 2, False, False), (True, 2, True, False), (False, 1, True, False)],
)
def test_what_failed_on_many_pictures_is_not_taken_back_by_fewer(
    old_passed: bool, pictures: int, new_passed: bool, stays: bool
) -> None:
    old = replace(a_record((0.5,) * pictures, (0.5,) * pictures), passed=old_passed)
    new = replace(a_record((0.5,), (0.5,)), passed=new_passed)
    merged = Verification("", {"openvino-bf16": old}).merged({"openvino-bf16": new}, lambda _name: old.files)
    assert (merged.engines["openvino-bf16"] is old) == stays


def test_records_that_still_hold_are_kept(calibrated_bundle: Bundle) -> None:
    bundle = calibrated_bundle.update({"graphs/fp32/flow.onnx": b"1"})
    holds = a_record((0.5,), (0.5,), files=engine_files(bundle, EngineName.parse("openvino-fp32")))
    gone = a_record((0.5,), (0.5,), files={"graphs/int8/flow.onnx": "0" * 64})
    old = Verification(bundle.weights_sha256, {"openvino-fp32": holds, "openvino-int8": gone}, skipped=True)
    new = old.merged({"torch-fp16": gone}, lambda name: engine_files(bundle, EngineName.parse(name)))
    assert set(new.engines) == {"openvino-fp32", "torch-fp16"}
    assert not new.skipped
