"""An engine may decide in libcsflow where it may in Python, and is refused in the same words."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.contents import Contents
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import VERIFICATION, Verification
from csflow.runtime.detector import Detector
from csflow.runtime.engines.golden_check import GoldenCheck, golden_problems
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.trust import distrust
from csflow.runtime.errors import EngineMismatch

OPENVINO = "openvino-fp32"
Ours = Callable[..., str]


@pytest.fixture
def ours(probe: ctypes.CDLL) -> Ours:
    """`ours(bundle, engine, score_error, map_error, by_spread)`: why libcsflow would not let the engine decide."""

    def ask(
        bundle: Bundle, engine: str, score_error: float = 0.0, map_error: float = 0.0, by_spread: bool = False
    ) -> str:
        out = ctypes.create_string_buffer(1000)
        path = str(bundle.path).encode()
        assert probe.probe_distrust(path, engine.encode(), score_error, map_error, by_spread, out, len(out)) == 0
        return out.value.decode()

    return ask


@pytest.fixture
def graphs(calibrated_bundle: Bundle) -> Bundle:
    """A calibrated bundle with something in place of its graphs."""
    return calibrated_bundle.update({"graphs/fp32/backbone.onnx": b"1", "graphs/fp32/flow.onnx": b"2"})


def theirs(bundle: Bundle, engine_name: str) -> str:
    """What Python says of an engine that agrees on the golden frames."""
    contents, check = Contents(bundle), GoldenCheck(2, 0, 0.0, 0.0)
    return distrust(contents, EngineName.parse(engine_name), check, contents.calibration)


def agree(ours: Ours, bundle: Bundle, engine: str, words: str) -> None:
    said = ours(bundle, engine)
    assert said == theirs(bundle, engine)
    assert words in said
    assert bool(words) == bool(said)


def test_records_are_read_as_in_python(ours: Ours, graphs: Bundle, with_record: Any) -> None:
    agree(ours, graphs, "fake", "")
    agree(ours, graphs, OPENVINO, "has no record")
    agree(ours, with_record(graphs, OPENVINO), OPENVINO, "")
    agree(ours, with_record(graphs, OPENVINO), "openvino-bf16", "has no record")
    both = graphs.update({"graphs/int8/flow.onnx": b"4"})
    agree(ours, with_record(both, OPENVINO), "openvino-int8", "has no record")
    agree(ours, with_record(both, "openvino-int8"), "openvino-int8", "")
    agree(ours, both.update({"graphs/int8/flow.onnx": b"5"}), "openvino-int8", "has no record")
    agree(ours, with_record(graphs, OPENVINO, faults=("a", "b")), OPENVINO, "failed the decision gate: a; b")
    agree(ours, with_record(graphs, OPENVINO, scores=(0.3, 0.4)), OPENVINO, "1 of 2 verdicts differ")
    agree(ours, with_record(graphs, OPENVINO, scores=(0.3, None)), OPENVINO, "1 of 2 verdicts differ")
    agree(ours, with_record(graphs, OPENVINO).update({"graphs/fp32/flow.onnx": b"3"}), OPENVINO, "has no record")


def test_a_skipped_gate_and_other_weights(ours: Ours, graphs: Bundle) -> None:
    skipped = Verification(graphs.weights_sha256, {}, skipped=True)
    agree(ours, graphs.update({VERIFICATION: skipped.to_bytes()}), OPENVINO, "--no-verify")
    foreign = Verification("0" * 64, {}, skipped=True)
    agree(ours, graphs.update({VERIFICATION: foreign.to_bytes()}), OPENVINO, "has no record")


def test_scores_near_a_threshold_are_judged_as_in_python(ours: Ours, graphs: Bundle, with_record: Any) -> None:
    draw = np.random.default_rng(8)
    answers = set()
    for _ in range(8):
        band = float(draw.choice([0.0, 0.005, 0.02]))
        cuts = draw.choice([0.5, 0.6], 6)
        reference, scores = (tuple(map(float, cuts * (1 + band * draw.choice([-2, -1, 0, 1, 2], 6)))) for _ in "ab")
        bundle = with_record(graphs, OPENVINO, reference, scores, band=band)
        answers.add(ours(bundle, OPENVINO))
        agree(ours, bundle, OPENVINO, theirs(bundle, OPENVINO))
    assert len(answers) > 3


def test_a_plan_without_a_record_is_judged_by_the_golden_frames(ours: Ours, graphs: Bundle, with_record: Any) -> None:
    folder = graphs.path / "engines" / "tensorrt" / "fp16"
    folder.mkdir(parents=True)
    for name in ("backbone.plan", "flow.plan"):
        (folder / name).write_bytes(name.encode())
    for errors in ((0.0, 0.0), (0.009, 0.019), (0.011, 0.0), (0.0, 0.021), (0.2, 0.3), (float("inf"), 0.0)):
        for by_spread in (False, True):
            problems = "; ".join(golden_problems("tensorrt-fp16", *errors, by_spread))
            said = ours(graphs, "tensorrt-fp16", *errors, by_spread)
            expected = f"engine tensorrt-fp16 does not decide as the trained model: {problems}"
            assert said == (expected if problems else "")
    assert ours(graphs, "tensorrt-fp32", 2e-4) != ""
    agree(ours, with_record(graphs, "tensorrt-fp16", faults=("off",)), "tensorrt-fp16", "gate: off")


@pytest.mark.parametrize("change", [{"engines": []}, {"format_version": 2}, {"more": 1}, {"skipped": 1}])
def test_a_malformed_file_is_refused(probe: ctypes.CDLL, graphs: Bundle, change: dict[str, Any]) -> None:
    body = schema.parse_json(Verification(graphs.weights_sha256, {}).to_bytes())
    bundle = graphs.update({VERIFICATION: schema.dump_json({**body, **change})})
    out = ctypes.create_string_buffer(10)
    assert probe.probe_distrust(str(bundle.path).encode(), OPENVINO.encode(), 0.0, 0.0, 0, out, 10) == -6


@pytest.mark.slow
def test_an_engine_that_is_not_verified_is_refused_or_says_so(
    trained_copy: Path, binding: ModuleType, picture: Any, with_record: Any, openvino: Any
) -> None:
    bundle = Bundle.open(trained_copy)
    with pytest.raises(EngineMismatch, match="not verified"):
        Detector.open(trained_copy, OPENVINO)
    with pytest.raises(binding.LibraryError, match=r"not verified.*csflow verify.*unverified") as caught:
        openvino(trained_copy, OPENVINO)
    assert caught.value.status == -107
    pixels = np.full((40, 40, 3), 90, np.uint8)
    with openvino(trained_copy, OPENVINO, unverified=1) as detector:
        assert detector.detect(picture(pixels, "RGB8")).verified == 0
        assert detector.describe().distrust.decode().startswith(f"engine {OPENVINO} is not verified")
    with_record(bundle, OPENVINO)
    with openvino(trained_copy, OPENVINO) as detector:
        assert detector.detect(picture(pixels, "RGB8")).verified == 1
        assert detector.describe().distrust == b""


def test_unverified_is_yes_or_no(library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle) -> None:
    with pytest.raises(binding.LibraryError, match="0 or 1 expected") as caught:
        binding.Detector(library, str(calibrated_bundle.path), device=b"fake", unverified=2)
    assert caught.value.status == -1
