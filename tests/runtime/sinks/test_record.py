"""The record of a result: what judged, when the picture was taken, and the same in every output."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.sinks.files.jsonl import JsonLinesSink
from csflow.runtime.sinks.files.table import CsvSink
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.sinks.record import result_record, utc_text
from csflow.runtime.types import Frame, Result, Verdict

GREY = np.full((64, 64, 3), 51, np.uint8)
IDENTITY_FIELDS = (
    "warn_threshold",
    "engine",
    "engine_sha256",
    "bundle",
    "bundle_sha256",
    "weights_sha256",
    "calibration_sha256",
    "pack_sha256",
    "signed_by",
)


@pytest.fixture
def result(calibrated_bundle: Bundle) -> Result:
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        return detector.detect(GREY)


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_999_999_999, "2026-09-21T14:13:20.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_as_text(unix_ns: int, text: str) -> None:
    assert utc_text(unix_ns) == text


def test_a_record_says_what_judged(calibrated_bundle: Bundle, result: Result) -> None:
    record = result_record(result)
    manifest = json.loads((calibrated_bundle.path / "manifest.json").read_text())
    assert record["bundle_sha256"] == manifest["manifest_sha256"]
    assert record["weights_sha256"] == calibrated_bundle.weights_sha256
    assert (record["bundle"], record["engine"], record["verified"]) == ("model.csflow", "fake", True)
    assert (record["warn_threshold"], record["threshold"]) == (0.5, 0.6)


def test_a_verdict_can_be_derived_again_from_its_record(result: Result) -> None:
    uncertain = replace(result, score=0.55, verdict=Verdict.UNCERTAIN)
    record = result_record(uncertain)
    assert record["warn_threshold"] < record["score"] <= record["threshold"]


def test_another_plan_is_another_engine(trt_bundle: Bundle, fake_trt: ModuleType) -> None:
    def judged() -> dict[str, Any]:
        calibration = load_calibration(trt_bundle)
        assert calibration is not None
        engine = FakeEngine(trt_bundle)
        engine.name = "tensorrt-fp16"
        return result_record(Detector(trt_bundle, engine, calibration).detect(GREY))

    first = judged()
    assert first == {**first, "engine": "tensorrt-fp16", "engine_sha256": judged()["engine_sha256"]}
    fake_trt.write_plan(trt_bundle, "flow", (1, 1, 2))
    second = judged()
    assert (first["engine_sha256"] == second["engine_sha256"]) is False
    assert first["bundle_sha256"] == second["bundle_sha256"]


def test_a_changed_threshold_is_another_calibration(calibrated_bundle: Bundle, result: Result) -> None:
    path = calibrated_bundle.path / "calibration.json"
    path.write_text(path.read_text().replace('"reject_threshold": 0.6', '"reject_threshold": 0.7'))
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        other = result_record(detector.detect(GREY))
    record = result_record(result)
    assert record["calibration_sha256"] != other["calibration_sha256"]
    assert [record[k] for k in ("bundle_sha256", "weights_sha256")] == [
        other[k] for k in ("bundle_sha256", "weights_sha256")
    ]


def test_a_result_that_no_detector_made_says_so() -> None:
    bare = Result(Verdict.NOK, 2.0, 1.0, 0.1, np.zeros((1, 1), np.float32), (0, 0), "why", 7, 0, 0.1, "cam")
    record = result_record(bare)
    assert [record[name] for name in IDENTITY_FIELDS] == [None] * len(IDENTITY_FIELDS)


def test_a_frame_carries_the_wall_clock_of_its_capture() -> None:
    taken_ns, now_ns = time.monotonic_ns() - 5 * 10**9, time.time_ns()
    frame = Frame(GREY, captured_ns=taken_ns)
    assert frame.captured_unix_ns == pytest.approx(now_ns - 5 * 10**9, abs=10**9)
    assert replace(frame, index=3).captured_unix_ns == frame.captured_unix_ns


def test_every_output_tells_the_same_moment_however_late_it_writes(tmp_path: Path, result: Result) -> None:
    stamped = replace(result, captured_unix_ns=1_790_000_000_123_456_789)
    with JsonLinesSink(tmp_path / "r.jsonl") as lines:
        lines.write(stamped, None)
    with CsvSink(tmp_path / "r.csv") as table:
        table.write(stamped, None)
    with OverlaySink(tmp_path / "pictures") as pictures:
        pictures.write(stamped, Frame(GREY))
    line = json.loads((tmp_path / "r.jsonl").read_text())
    with (tmp_path / "r.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    (picture,) = (tmp_path / "pictures").iterdir()
    assert line["time_utc"] == row["time_utc"] == "2026-09-21T14:13:20.123Z"
    assert picture.name.startswith("20260921T141320.123456789Z")
    assert (row["verified"], float(row["warn_threshold"])) == ("True", 0.5)
    assert [row[name] for name in IDENTITY_FIELDS[1:]] == [line[name] or "" for name in IDENTITY_FIELDS[1:]]
