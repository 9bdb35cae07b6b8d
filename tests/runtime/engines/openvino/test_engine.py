"""The OpenVINO engine: the same scores and verdicts as torch, a remembered precision, honest refusals."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.calibration.calibrate import calibrate
from csflow.export.gate.report import gate_files
from csflow.export.gate.verify import verify
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.openvino.engine import OpenVINOEngine, _Lane
from csflow.runtime.engines.openvino.variants import OpenVINOVariants
from csflow.runtime.errors import BackendUnavailable, BundleCorrupted, BundleError, ConfigError, InferenceError
from csflow.runtime.types import Frame


def frames(count: int = 3) -> list[Frame]:
    draw = np.random.default_rng(5)
    return [Frame(draw.integers(0, 256, (128, 128, 3), dtype=np.uint8), i) for i in range(count)]


def test_float32_scores_and_maps_are_those_of_torch(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    pictures = [frame for frame, _ in load_golden(bundle)] + frames()
    with open_engine(bundle, "openvino-fp32") as ours, open_engine(bundle, "torch") as trained:
        for got, expected in zip(ours.infer(pictures), trained.infer(pictures), strict=True):
            assert got.score == pytest.approx(expected.score, rel=1e-4)
            np.testing.assert_allclose(got.anomaly_map, expected.anomaly_map, rtol=1e-3, atol=1e-4)


def test_results_are_the_caller_s_to_keep(trained_copy: Path) -> None:
    with OpenVINOEngine(Bundle.open(trained_copy), "fp32") as engine:
        first, _ = engine.infer(frames(2))
        before = first.anomaly_map.copy()
        engine.infer(frames(3))
        np.testing.assert_array_equal(first.anomaly_map, before)


def test_order_and_batch_do_not_change_scores(trained_copy: Path) -> None:
    with OpenVINOEngine(Bundle.open(trained_copy), "fp32") as engine:
        together = [p.score for p in engine.infer(frames(3))]
        alone = [engine.infer([frame])[0].score for frame in reversed(frames(3))]
    assert together == alone[::-1]


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_features_that_are_no_numbers_give_no_score_though_the_flow_makes_one_of_them(
    trained_copy: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    bundle = Bundle.open(trained_copy)
    model = onnx.load_model_from_string(bundle.read("graphs/fp32/backbone.onnx"))
    (last,) = (node for node in model.graph.node if model.graph.output[0].name in node.output)
    last.output[list(last.output).index(model.graph.output[0].name)] = "sound"
    none = onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "none")
    model.graph.initializer.append(none)
    model.graph.node.append(onnx.helper.make_node("Add", ["sound", "none"], [model.graph.output[0].name], name="spoil"))
    bundle = bundle.update({"graphs/fp32/backbone.onnx": model.SerializeToString()})
    with OpenVINOEngine(bundle, "fp32", mode) as engine:
        for prediction in engine.infer(frames(3)):
            assert np.isnan(prediction.score)
            assert np.isnan(prediction.anomaly_map).all()
        monkeypatch.setattr("csflow.runtime.engines.openvino.engine.all_finite", lambda _: True)
        (believed,) = engine.infer(frames(1))
        assert np.isfinite(believed.score), "OpenVINO no longer makes a number of it: the look at features can go"


@pytest.fixture
def calibrated(trained_copy: Path, product_line: Path) -> Bundle:
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    report = verify(bundle, load_calibration(bundle))
    record = report.records.get("openvino-bf16")
    if record is not None:
        # What the gate says of bfloat16 is not what these tests are about.
        report.records["openvino-bf16"] = dataclasses.replace(record, faults=(), passed=True)
    return bundle.update(gate_files(bundle, report))


def test_the_choice_of_precision_is_remembered_for_this_processor(calibrated: Bundle) -> None:
    with open_engine(calibrated, "openvino") as engine:
        first = engine.name
    records = list((Path(os.environ["CSFLOW_CACHE"]) / "openvino").glob("precision-*.json"))
    if not records:
        assert first == "openvino-fp32"
        pytest.skip("this processor has no bfloat16: there is nothing to choose")
    assert first == f"openvino-{json.loads(records[0].read_text())['precision']}"


def test_a_choice_holds_for_what_the_processor_can(calibrated: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []
    for flags in ("avx512f", "avx512f amx_bf16"):
        monkeypatch.setattr(
            "csflow.runtime.engines.openvino.variants.processor_instructions", lambda flags=flags: flags
        )
        settings.append(OpenVINOVariants(calibrated).setting)
    assert settings[0] != settings[1]
    assert settings[0] | {"instructions": "avx512f amx_bf16"} == settings[1]


def test_bfloat16_is_refused_where_the_processor_has_none(trained_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    core = openvino.Core
    ask = core.get_property
    monkeypatch.setattr(core, "get_property", lambda self, *names: [] if "CAPAB" in names[-1] else ask(self, *names))
    with pytest.raises(BackendUnavailable, match="openvino-fp32"):
        open_engine(Bundle.open(trained_copy), "openvino-bf16")


def test_without_thresholds_there_is_no_verdict_to_compare_and_float32_runs(trained_copy: Path) -> None:
    with open_engine(Bundle.open(trained_copy), "openvino") as engine:
        assert engine.name == "openvino-fp32"


def test_unreadable_calibration_does_not_keep_calibrate_from_replacing_it(
    calibrated: Bundle, product_line: Path
) -> None:
    calibrated.write_calibration(b"{misspelt")
    with open_engine(calibrated, "openvino") as engine:
        calibrate(calibrated, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    assert load_calibration(calibrated) is not None


def test_unwritable_cache_is_no_obstacle(calibrated: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", "/proc/no/such/place")
    with OpenVINOEngine(calibrated) as engine:
        assert engine.name == "openvino-fp32", "a choice that cannot be remembered might differ at the next start"
        assert np.isfinite(engine.infer(frames(1))[0].score)


def test_bundle_without_graphs_names_the_command(make_bundle: object) -> None:
    bundle = make_bundle()  # type: ignore[operator]
    with pytest.raises(BundleError, match="csflow export"):
        open_engine(bundle, "openvino")


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a" * 50])
def test_graph_that_is_none_is_refused_in_words(trained_copy: Path, content: bytes) -> None:
    bundle = Bundle.open(trained_copy).update({"graphs/fp32/flow.onnx": content})
    with pytest.raises(BundleCorrupted, match="csflow export"):
        open_engine(bundle, "openvino")


@pytest.mark.parametrize(
    "head", [b"\xff" * 8, b"\x00" * 16, b"<?xml version", b"PK\x03\x04", b"TFL3TFL3", b"\x80\x02\x8a\xfa\xfe\xc3"]
)
def test_a_graph_whose_first_bytes_were_altered_before_sealing_is_one_line_of_ours(
    trained_copy: Path, head: bytes
) -> None:
    bundle = Bundle.open(trained_copy)
    name = "graphs/fp32/backbone.onnx"
    altered = bundle.update({name: head + bundle.read(name)[len(head) :]})
    with pytest.raises(BundleCorrupted, match=r"OpenVINO cannot read .*run 'csflow export' again"):
        OpenVINOEngine(altered)


def test_changed_graph_is_refused_before_openvino_sees_it(trained_copy: Path) -> None:
    bundle = Bundle.open(trained_copy)
    path = trained_copy / "graphs" / "fp32" / "backbone.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # other tests read the same file
    path.write_bytes(bytes(data))
    with pytest.raises(BundleCorrupted, match="SHA-256"):
        open_engine(bundle, "openvino")


def test_a_large_graph_comes_from_the_cache_at_its_first_start_too(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, names = Bundle.open(trained_copy), ("graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx")
    sizes = [bundle.manifest.files[name].size for name in names]
    with OpenVINOEngine(bundle, "fp32") as engine:
        expected = [p.score for p in engine.infer(frames(2))]
    monkeypatch.setenv("CSFLOW_CACHE", str(trained_copy.parent / "another"))
    loaded = []
    make = _Lane.__init__

    def kept(lane: _Lane, models: Sequence[Any], inputs: Sequence[Sequence[str]]) -> None:
        loaded.extend(model.get_property("LOADED_FROM_CACHE") for model in models)
        make(lane, models, inputs)

    monkeypatch.setattr(_Lane, "__init__", kept)
    # From a small one nothing is to be won.
    monkeypatch.setattr("csflow.runtime.engines.openvino.engine.LARGE", max(sizes))
    with OpenVINOEngine(bundle, "fp32") as engine:
        assert [p.score for p in engine.infer(frames(2))] == expected
    assert loaded == [size == max(sizes) for size in sizes]


def test_closed_engine_says_so(trained_copy: Path) -> None:
    engine = OpenVINOEngine(Bundle.open(trained_copy), "fp32")
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="closed"):
        engine.infer(frames(1))


def test_frame_of_another_size_is_an_inference_error(trained_copy: Path) -> None:
    with (
        OpenVINOEngine(Bundle.open(trained_copy), "fp32") as engine,
        pytest.raises(InferenceError),
    ):
        engine.infer([Frame(np.zeros((64, 64, 3), np.uint8))])


def test_unknown_backend_lists_the_known(trained_copy: Path) -> None:
    with pytest.raises(ConfigError, match="openvino-bf16"):
        open_engine(Bundle.open(trained_copy), "openvino-fp8")


def test_ctrl_c_after_two_engines_is_a_ctrl_c(trained_copy: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.openvino.engine import OpenVINOEngine, _Lane
from csflow.runtime.engines.openvino.variants import OpenVINOVariants
bundle = Bundle.open(Path({str(trained_copy)!r}))
signal.signal(signal.SIGINT, signal.default_int_handler)
engines = [OpenVINOEngine(bundle, "fp32"), OpenVINOEngine(bundle, "fp32")]
while engines:
    engines.pop(0).close()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 5)
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
