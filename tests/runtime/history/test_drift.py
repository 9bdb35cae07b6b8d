"""Days with known shifts: what changed is named, and days without a change are reported no more than promised."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.records.drift import drift
from csflow.runtime.history.drift import Day, Parts, by_day, days_of
from csflow.runtime.schema import dump_json, to_mapping

DRAW = np.random.default_rng
SD = 0.1
"""Of the logarithms of good scores, in these tests."""


def calibration_of(seed: int, parts: int, k: int = 1, weights: str = "w") -> Calibration:
    scores = tuple(sorted(np.exp(DRAW(seed).normal(0.0, SD, parts)).tolist()))
    return Calibration(scores[-k], scores[-k], 0.05, 0.95, 0.05, 0.1, scores, weights, "fake", "2026-01-01T00:00:00Z")


def day_of_parts(seed: int, parts: int, shift_sd: float = 0.0, defects: int = 0, gain: float = 1.0) -> Parts:
    draw = DRAW(seed)
    scores = np.exp(draw.normal(shift_sd * SD, SD, parts))
    scores[:defects] *= 5.0
    looks = {
        "brightness": (gain * draw.normal(0.4, 0.01, parts)).tolist(),
        "sharpness": (gain * gain * draw.normal(200.0, 10.0, parts)).tolist(),
    }
    return Parts(scores.tolist(), looks)


def judged(day: Parts, known: int = 119, confidence: float = 0.99) -> Day:
    """The second day, after one of the calibration's kind."""
    days = {"2026-03-01": day_of_parts(99, 150), "2026-03-02": day}
    return days_of(days, calibration_of(7, known, 2), confidence)[1]


@pytest.mark.parametrize(
    ("day", "reasons"),
    [
        (day_of_parts(1, 60), ()),
        (day_of_parts(2, 60, shift_sd=1.2), ("product",)),
        (day_of_parts(3, 60, shift_sd=-1.5), ("product",)),
        (day_of_parts(4, 60, gain=1.1), ("light",)),
        (day_of_parts(4, 60, gain=1.02), ()),
        (day_of_parts(5, 60, gain=0.9, shift_sd=1.2), ("light", "product")),
        (day_of_parts(6, 60, defects=9), ("defects",)),
        (day_of_parts(7, 80, shift_sd=1.0, defects=30), ("product", "defects")),
        (day_of_parts(8, 9, shift_sd=5.0, gain=2.0), ()),
        (Parts(), ()),
    ],
)
def test_what_changed_is_named(day: Parts, reasons: tuple[str, ...]) -> None:
    found = judged(day)
    assert found.reasons == reasons
    assert found.enough == (len(day.scores) >= 10)


def test_where_hardly_a_part_passes_the_product_is_not_judged() -> None:
    found = judged(day_of_parts(9, 60, shift_sd=8.0))
    assert found.above is None
    assert found.reasons == ("defects",)


def test_a_threshold_that_was_written_below_all_scores_leaves_nothing_to_compare_with() -> None:
    known = calibration_of(7, 119)
    lowered = dataclasses.replace(known, reject_threshold=known.scores[0] / 2, warn_threshold=known.scores[0] / 2)
    days = {"a": day_of_parts(1, 60, shift_sd=-20.0), "b": day_of_parts(2, 60)}
    low, usual = days_of(days, lowered, 0.99)
    assert (low.rejected, low.above, low.p_product, low.tells) == (0, None, None, math.inf)
    assert (usual.rejected, usual.reasons) == (60, ())


@pytest.mark.parametrize(
    ("look", "gain", "reasons"),
    [
        ("brightness", 1.04, ("light",)),
        ("brightness", 0.96, ("light",)),
        ("brightness", 1.02, ()),
        ("sharpness", 1.15, ("light",)),
        ("sharpness", 0.85, ("light",)),
        ("sharpness", 1.05, ()),
    ],
)
def test_each_look_alone_is_light_from_its_least_change_on(look: str, gain: float, reasons: tuple[str, ...]) -> None:
    day = day_of_parts(1, 60)
    day.looks[look] = [gain * value for value in day.looks[look]]
    found = judged(day)
    assert found.p_looks[look] < 0.0025, "only the size of the change keeps the smaller ones from being told"
    assert found.reasons == reasons


def test_ten_parts_are_enough_to_say_something_and_nine_are_not() -> None:
    ten = judged(day_of_parts(8, 10, shift_sd=-5.0, gain=2.0))
    assert (ten.enough, ten.reasons) == (True, ("light", "product"))
    assert judged(day_of_parts(8, 10, defects=10)).reasons == ("defects",)
    nine = judged(day_of_parts(8, 9, shift_sd=-5.0, gain=2.0))
    assert (nine.above, nine.p_product, nine.p_looks) == (None, None, {})
    first = {"a": day_of_parts(3, 9), "b": day_of_parts(4, 60, gain=2.0)}
    assert days_of(first, calibration_of(7, 9), 0.99)[1].p_looks == {}, "nine first parts tell no light"
    assert days_of(first, calibration_of(7, 10), 0.99)[1].p_looks.keys() == {"brightness", "sharpness"}


def test_what_is_expected_and_how_far_medians_moved() -> None:
    known = calibration_of(7, 12, 2)
    days = {
        "a": Parts([1.0] * 3, {"brightness": [0.1, 0.4, 0.9] * 4, "sharpness": [1.0, 3.0] * 6}),
        "b": Parts([known.reject_threshold] * 12, {"brightness": [0.5] * 12, "sharpness": [5.0] * 12}),
    }
    found = days_of(days, known, 0.99)[1]
    assert found.moved == {"brightness": pytest.approx(0.5 / 0.4), "sharpness": pytest.approx(5.0 / 2.0)}
    assert (found.parts, found.rejected) == (12, 0), "a score at the threshold is passed"
    assert found.above == 1.0, "the calibration is taken below its threshold alone"
    usual = judged(day_of_parts(1, 60))
    assert usual.expected_share == pytest.approx(2 / 120), "the threshold is the second highest of 119"


def test_days_without_a_change_are_reported_no_more_than_promised() -> None:
    # Each with a calibration of its own: the promise is about both. Fewer than 20 of 400 on average; 3 deviations more.
    reported = 0
    for seed in range(400):
        days = {"a": day_of_parts(10_000 + seed, 40), "b": day_of_parts(20_000 + seed, 25)}
        reported += bool(days_of(days, calibration_of(seed, 60), 0.95)[1].reasons)
    assert reported <= 20 + 3 * math.sqrt(20 * 0.95)


def test_without_looks_light_is_not_judged() -> None:
    found = judged(dataclasses.replace(day_of_parts(2, 60), looks={"brightness": [], "sharpness": []}))
    assert (found.p_looks, found.moved) == ({}, {})


def record(moment: str, score: float, weights: str, **more: Any) -> dict[str, Any]:
    verdict = {"verdict": "OK", "source": "a.png", "brightness": 0.4 + score / 100, "sharpness": 200.0 + score}
    return {"time_utc": moment, "score": score, "weights_sha256": weights, **verdict, **more}


def test_records_of_other_models_and_errors_are_counted_and_left_out() -> None:
    records: list[Mapping[str, Any]] = [
        record("2026-03-02T23:59:59.000Z", 1.0, "w"),
        record("2026-03-01T00:00:00.000Z", 1.0, "w", brightness=None),
        record("2026-03-01T00:00:00.000Z", 9.0, "w", verdict="NOK"),
        record("2026-03-01T00:00:00.000Z", 1.0, "other"),
        record("2026-03-01T00:00:00.000Z", -1.0, "w"),
        record("2026-03-01T00:00:00.000Z", 0.0, "w"),
        record("2026-03-01T00:00:00.000Z", 1.0, "w") | {"verdict": "ERROR", "score": None},
    ]
    days, others = by_day(records, "w")
    assert list(days) == ["2026-03-01", "2026-03-02"]
    assert others == 4
    assert days["2026-03-01"].scores == [1.0, 9.0], "a defect is a part, but tells nothing about the light"
    assert (days["2026-03-01"].looks["brightness"], len(days["2026-03-02"].looks["sharpness"])) == ([], 1)


@pytest.fixture
def line(calibrated_bundle: Bundle) -> tuple[Bundle, list[dict[str, Any]]]:
    """A bundle, and three days of its records: as calibrated, as calibrated, moved by two deviations."""
    calibration = calibration_of(1, 120, weights=calibrated_bundle.weights_sha256)
    calibrated_bundle.write_calibration(dump_json(to_mapping(calibration)))
    records = []
    for day, shift in (("01", 0.0), ("02", 0.0), ("03", 2.0)):
        parts = day_of_parts(int(day) + 40, 50, shift_sd=shift)
        for i, score in enumerate(parts.scores):
            looks = {name: values[i] for name, values in parts.looks.items()}
            moment = f"2026-03-{day}T10:00:{i:02d}.000Z"
            records.append(record(moment, score, calibrated_bundle.weights_sha256, line="press", **looks))
    return calibrated_bundle, records


def test_the_command_reads_results_and_names_the_day(line: tuple[Bundle, list[dict[str, Any]]], tmp_path: Path) -> None:
    bundle, records = line
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    result = CliRunner().invoke(drift, [str(file), "--bundle", str(bundle.path)])
    assert result.exit_code == 1, result.output
    assert "2026-03-03: parts that pass score otherwise" in result.output
    assert "2026-03-02: " not in result.output
    assert "1 sd needs " in result.output
    quiet = CliRunner().invoke(drift, [str(file), "--bundle", str(bundle.path), "--until", "2026-03-02", "--json"])
    assert quiet.exit_code == 0
    assert [day["parts"] for day in json.loads(quiet.stdout)["days"]] == [50, 50]


def test_the_command_reads_a_history_whose_older_files_say_nothing_of_the_light(
    line: tuple[Bundle, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    from csflow.runtime.history import rows
    from csflow.runtime.history.store import Store

    bundle, records = line
    with monkeypatch.context() as patch:
        patch.setattr(rows, "NUMBERS", ("score", "threshold", "warn_threshold", "latency_s"))
        store = Store(tmp_path / "history", "press")
        store.append(records[:50])
        store.close()
    store = Store(tmp_path / "history", "press")
    store.append(records[50:])
    store.close()
    words = [str(tmp_path / "history"), "--line", "press", "--bundle", str(bundle.path), "--json"]
    result = CliRunner().invoke(drift, words)
    assert result.exit_code == 1, result.output
    days = json.loads(result.stdout)["days"]
    assert [day["reasons"] for day in days] == [[], [], ["product"]]
    assert [sorted(day["p_looks"]) for day in days] == [[], ["brightness", "sharpness"], ["brightness", "sharpness"]]


def test_where_no_part_was_judged_by_the_model_that_is_said(
    line: tuple[Bundle, list[dict[str, Any]]], tmp_path: Path
) -> None:
    bundle, records = line
    (tmp_path / "r.jsonl").write_text(json.dumps(records[0] | {"weights_sha256": "other"}) + "\n")
    result = CliRunner().invoke(drift, [str(tmp_path / "r.jsonl"), "--bundle", str(bundle.path)])
    said = "no part of these days has a verdict by this model: nothing was compared"
    assert (result.exit_code, result.output.splitlines()[0]) == (0, said)


@pytest.mark.parametrize("words", [("--line", "a"), ("--since", "2026-03-02", "--until", "2026-03-01")])
def test_options_that_say_nothing_of_a_file_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "r.jsonl").touch()
    assert CliRunner().invoke(drift, [str(tmp_path / "r.jsonl"), *words]).exit_code == 2


def test_without_thresholds_there_is_nothing_to_compare_with(make_bundle: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(drift, [str(tmp_path), "--bundle", str(make_bundle().path)])
    assert result.exit_code == 1
    assert "run 'csflow calibrate' first" in result.output
