"""The parts of `make gpu` that need no GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
import bench_gpu

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.types import Frame


def test_without_a_gpu_it_says_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu.probes, "cuda", lambda: {"code": -1, "problem": "libcuda.so.1 is not there"})
    monkeypatch.setattr(bench_gpu, "random_model", lambda *_: pytest.fail("work began"))
    result = CliRunner().invoke(bench_gpu.gpu, [])
    assert result.exit_code == bench_gpu.NO_GPU
    assert "no NVIDIA GPU: libcuda.so.1 is not there" in result.output


def test_what_fails_or_comes_too_late_is_named_and_what_was_found_is_kept(tmp_path: Path) -> None:
    now, out = [0.0], tmp_path / "out/gpu.json"

    def refuse() -> None:
        raise RuntimeError("CUDA out of memory")

    steps = bench_gpu.Steps(10.0, out, {"target": "tensorrt"}, lambda: now[0])
    assert steps.run("first", lambda: 1) == 1
    steps.note("tiles", "latency", {"torch": 3.0})
    assert steps.run("second", refuse) is None
    now[0] = 10.0
    assert steps.run("third", lambda: pytest.fail("it ran")) is None
    assert steps.left_out == {"second": "RuntimeError: CUDA out of memory", "third": "no time left"}
    kept = json.loads(out.read_text())
    assert kept["bundles"] == {"tiles": {"latency": {"torch": 3.0}}}
    assert (kept["target"], list(kept["left_out"])) == ("tensorrt", ["second"]), "the third changed nothing"


def test_engines_are_timed_in_turn(calibrated_bundle: Bundle) -> None:
    side = calibrated_bundle.manifest.preprocessing.image_size
    order = []

    class Noted(FakeEngine):
        def __init__(self, bundle: Bundle, name: str) -> None:
            super().__init__(bundle)
            self.name = name

        def infer(self, frames):  # type: ignore[no-untyped-def]
            order.append(self.name)
            return super().infer(frames)

    engines = {name: Noted(calibrated_bundle, name) for name in ("a", "b")}
    found = bench_gpu.timed(engines, Frame(np.zeros((side, side, 3), np.uint8)), 2)
    assert order == ["a", "b"] * 3
    assert {row["engine"] for row in found.values()} == {"a", "b"}
    assert all(0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in found.values())


def test_decisions_of_an_engine_are_those_of_the_gate(trained: Path, product_line: Path) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    found = bench_gpu.decisions(Bundle.open(trained), ["openvino-fp32"], product_line, 4)["openvino-fp32"]
    assert found["passed"]
    assert found["flips"] is None
    assert (found["good"], found["defective"]) == (2, 2)


def test_a_bundle_is_measured_as_far_as_this_machine_can(trained: Path, product_line: Path, tmp_path: Path) -> None:
    steps = bench_gpu.Steps(1e6, tmp_path / "gpu.json", {})
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    (copy,) = bench_gpu.copies([trained], tmp_path)
    bench_gpu.judge(copy, "tensorrt", product_line, 4, 1, steps)
    if not bench_gpu.probes.cuda().get("devices"):
        found = steps.bundles[copy.stem]
        assert list(found["latency"]) == ["torch"]
        assert found["latency"]["torch"]["frames"] == 1
        assert "decisions" not in found, "no engine to judge"
        assert {f"{copy.stem}: tensorrt-{precision} opens" for precision in ("fp32", "fp16")} <= set(steps.left_out)
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*")}


def test_two_bundles_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="the same name"):
        bench_gpu.copies([tmp_path / "a/model.csflow", tmp_path / "b/model.csflow"], tmp_path)
