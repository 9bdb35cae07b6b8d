"""Engines that cannot decide as an int8 model does are not tried, and one line says so."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="OpenVINO is not installed")
pytest.importorskip("onnx", reason="the extra export is not installed")

from csflow.export.gate import verify as gate
from csflow.export.gate.candidates import judge_candidates
from csflow.export.gate.report import to_json, untried_lines
from csflow.runtime.bundle.directory import Bundle

BFLOAT16 = ("openvino-bf16", "openvino-bf16+int8")


def test_bfloat16_is_hopeless_for_an_int8_backbone_alone(trained: Path) -> None:
    manifest = Bundle.open(trained).manifest
    backbone = {**manifest.model["backbone"], "precision": "int8"}
    assert gate._hopeless(manifest) == ()
    assert gate._hopeless(replace(manifest, model={**manifest.model, "backbone": backbone})) == BFLOAT16


def test_what_is_hopeless_is_neither_run_nor_timed(trained_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untried = (*BFLOAT16, "openvino-fp32+bf16")
    monkeypatch.setattr(gate, "_hopeless", lambda _manifest: untried)
    report = gate.verify(Bundle.open(trained_copy), None)
    assert report.untried == untried
    assert "openvino-fp32" in report.records
    assert not {*report.records, *report.left_out} & {*untried}
    candidates = judge_candidates(report.bundle, report)
    assert [c.engine for c in candidates] == ["openvino-fp32"]
    (told,) = untried_lines(report)
    assert told.startswith("bf16, bf16+int8, fp32+bf16: not tried, ")
    assert to_json(report)["not_tried"] == list(untried)
    named = gate.verify(report.bundle, None, ("openvino-fp32",))
    assert untried_lines(named) == [], "who names an engine gets it"
