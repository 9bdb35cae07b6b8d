"""What Python and libcsflow both know is compared value by value."""

from __future__ import annotations

import ctypes
import itertools

import pytest

from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.engines import golden_check
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import stages
from csflow.runtime.faults import Reason, Verdict, reason_of

ENGINES = [
    "openvino-fp32",
    "openvino-bf16",
    "openvino-int8",
    "tensorrt-fp16",
    "tensorrt-rtx-fp32",
    "openvino-fp32+bf16",
]
ERRORS = [0.0, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.051, 0.1, 0.101, 0.15, 0.151, 0.25, 0.251, 0.5, 0.51, float("nan")]


def test_verdicts_have_the_same_codes_and_reasons(probe: ctypes.CDLL) -> None:
    for verdict in Verdict:
        assert probe.probe_code(verdict) == verdict.code
        expected = Reason.NOT_FINITE if verdict is Verdict.ERROR else reason_of(verdict, "")
        assert probe.probe_reason(verdict) == expected


@pytest.mark.parametrize("by_spread", [False, True])
@pytest.mark.parametrize("engine", [*ENGINES, "fake", "fp32"])
def test_golden_frames_allow_the_same(probe: ctypes.CDLL, engine: str, by_spread: bool) -> None:
    assert probe.probe_band() == golden_check.BAND
    out = (ctypes.c_double * 2)()
    probe.probe_tolerances(engine.encode(), by_spread, out)
    allowed = golden_check.tolerances(engine, by_spread)
    assert tuple(out) == (allowed.score, allowed.map)
    for flips, score, of_map in itertools.product((0, 1), ERRORS, ERRORS):
        check = golden_check.GoldenCheck(2, flips, score, of_map, by_spread)
        assert bool(probe.probe_passed(engine.encode(), by_spread, flips, score, of_map)) == check.passed(engine)


@pytest.mark.parametrize("graphs", [("backbone", "flow"), ("backbone", "neck", "mixture"), ("whole",)])
@pytest.mark.parametrize("engine", [*ENGINES, "openvino-bf16+int8"])
def test_stages_are_the_same_files(probe: ctypes.CDLL, graphs: tuple[str, ...], engine: str) -> None:
    manifest = Manifest(Preprocessing(64), Definitions(), {}, {}, {}, "some-method", graphs)
    data, out = manifest.to_bytes(), ctypes.create_string_buffer(1000)
    status = probe.probe_stages(data, len(data), engine.encode(), out, len(out))
    try:
        found = stages(manifest, EngineName.parse(engine))
    except ValueError:
        assert status == -1
        return
    assert status == 0
    assert out.value.decode() == "".join(f"{s.graph} {s.precision} {s.file}\n" for s in found)


@pytest.mark.parametrize(
    ("text", "backend", "precision", "narrowest"),
    [
        ("openvino-bf16", "openvino", "bf16", "bf16"),
        ("tensorrt-rtx-fp16", "tensorrt-rtx", "fp16", "fp16"),
        ("openvino-fp32+int8+bf16", "openvino", "fp32+int8+bf16", "int8"),
        ("tensorrt-rtx", "tensorrt-rtx", "", ""),
        ("openvino-fp32+", "openvino-fp32+", "", ""),
        ("openvino-", "openvino-", "", ""),
        ("-fp32", "-fp32", "", ""),
        ("fp32", "fp32", "", ""),
        ("", "", "", ""),
    ],
)
def test_an_engines_name(probe: ctypes.CDLL, text: str, backend: str, precision: str, narrowest: str) -> None:
    out = ctypes.create_string_buffer(100)
    probe.probe_engine_name(text.encode(), out, len(out))
    name = EngineName.parse(text)
    assert (name.backend, name.precision, name.narrowest) == (backend, precision, narrowest)
    assert out.value.decode() == f"{backend} {precision} {narrowest}"
