"""The choice of a precision: the fastest that may decide, measured once and remembered, on any processor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from csflow.runtime.bundle.contents import Contents
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import VERIFICATION, EngineRecord, Figures, Verification
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.precision import choose_precision, worth_it
from csflow.runtime.engines.stages import engine_files
from csflow.runtime.types import Frame, Prediction

FIGURES = Figures(0, 2, 0.0, 0.0, None, 1.0, None, None, 0.0, None, None, 0.0, 0.0)
SECONDS = {"fp32": 0.02, "bf16": 0.005, "int8": 0.01}


clock = SimpleNamespace(now=0.0)
"""Seconds as the choice sees them: real ones depend on what else a machine does."""


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.engines.precision.time", SimpleNamespace(perf_counter=lambda: clock.now))


class Timed(FakeEngine):
    """The fake engine, as slow as a precision and as far off."""

    def __init__(self, bundle: Bundle, precision: str, error: float) -> None:
        super().__init__(bundle)
        self.name = f"openvino-{precision}"
        self._seconds, self._error = SECONDS[precision], error

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict after a while."""
        clock.now += self._seconds
        return [Prediction(p.score * (1 + self._error), p.anomaly_map) for p in super().infer(frames)]


class Scripted:
    """Variants whose errors the test names."""

    backend = "openvino"

    def __init__(self, bundle: Bundle, errors: dict[str, float] | None = None) -> None:
        self.precisions = tuple(SECONDS)
        self.setting: dict[str, Any] = {"processor": "a"}
        self.opened: list[str] = []
        self._bundle, self._errors = bundle, errors or {}

    def open(self, precision: str) -> Timed:
        """The engine of that precision."""
        self.opened.append(precision)
        return Timed(self._bundle, precision, self._errors.get(precision, 0.0))


@pytest.fixture
def bundle(calibrated_bundle: Bundle) -> Bundle:
    """Graphs of all precisions, all of which the decision gate has passed."""
    names = ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx", "graphs/int8/flow.onnx")
    bundle = calibrated_bundle.update({name: name.encode() for name in names})
    return bundle.update({VERIFICATION: records(bundle, *SECONDS).to_bytes()})


def records(bundle: Bundle, *precisions: str) -> Verification:
    facts = ("library", "machine", "0.1", "now", "golden frames", 0.005, (0.3, 0.7), (0.3, 0.7))
    names = [EngineName("openvino", precision) for precision in precisions]
    found = {str(n): EngineRecord(engine_files(bundle, n), *facts, FIGURES, (), None, None, True) for n in names}
    return Verification(bundle.weights_sha256, found)


def choose(bundle: Bundle, variants: Scripted) -> str:
    return choose_precision(Contents(bundle), variants)


def test_the_fastest_that_may_decide_is_measured_once_and_remembered(bundle: Bundle, cache: Path) -> None:
    first, second = Scripted(bundle), Scripted(bundle)
    assert choose(bundle, first) == "bf16"
    assert first.opened == ["fp32", "bf16", "int8"]
    assert choose(bundle, second) == "bf16"
    assert second.opened == []
    (record,) = (cache / "openvino").iterdir()
    assert list(json.loads(record.read_text())["seconds"]) == ["fp32", "bf16", "int8"]


def test_another_processor_measures_for_itself(bundle: Bundle, cache: Path) -> None:
    choose(bundle, Scripted(bundle))
    other = Scripted(bundle)
    other.setting = {"processor": "b"}
    choose(bundle, other)
    assert other.opened
    assert len(list((cache / "openvino").iterdir())) == 2


@pytest.mark.parametrize("content", [b"{", b'{"precision": "int4", "seconds": {}}'])
def test_a_damaged_record_is_measured_anew(bundle: Bundle, cache: Path, content: bytes) -> None:
    choose(bundle, Scripted(bundle))
    (record,) = (cache / "openvino").iterdir()
    record.write_bytes(content)
    again = Scripted(bundle)
    assert choose(bundle, again) == "bf16"
    assert again.opened


@pytest.mark.usefixtures("cache")
def test_a_precision_that_changes_a_golden_frames_verdict_is_not_chosen(bundle: Bundle) -> None:
    assert choose(bundle, Scripted(bundle, {"bf16": 1.0})) == "int8"


def test_a_precision_without_a_record_that_passed_is_not_tried(bundle: Bundle, cache: Path) -> None:
    only = bundle.update({VERIFICATION: records(bundle, "fp32", "int8").to_bytes()})
    variants = Scripted(only)
    assert choose(only, variants) == "int8"
    assert variants.opened == ["fp32", "int8"]
    none = bundle.update({}, remove=(VERIFICATION,))
    assert choose(none, Scripted(none)) == "fp32"
    assert len(list((cache / "openvino").iterdir())) == 1


@pytest.mark.usefixtures("cache")
def test_what_is_hardly_faster_is_not_worth_its_rounding(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.engines.precision.ADVANTAGE", 0.01)
    assert choose(bundle, Scripted(bundle)) == "fp32"


def test_each_narrower_precision_must_be_worth_its_rounding() -> None:
    assert worth_it({"fp32": 1.0, "fp32+bf16": 0.5, "bf16": 0.48, "int8": 0.3}) == "int8"
    assert worth_it({"fp32": 1.0, "fp32+bf16": 0.5, "bf16": 0.48}) == "fp32+bf16"
    assert worth_it({"fp32": 1.0}) == "fp32"


def test_without_thresholds_or_a_cache_the_first_is_taken(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", "/proc/no/such/place")
    assert choose(bundle, Scripted(bundle)) == "fp32"
    monkeypatch.setenv("CSFLOW_CACHE", str(cache))
    bundle.write_calibration(b"{misspelt")
    unread = Scripted(bundle)
    assert (choose(bundle, unread), unread.opened) == ("fp32", [])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory."""
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
