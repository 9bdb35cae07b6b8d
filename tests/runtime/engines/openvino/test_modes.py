"""Modes and threads of the OpenVINO engine: more at a time, the same answers in the same order."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")

import openvino

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.engines.openvino.core import new_core
from csflow.runtime.engines.openvino.engine import OpenVINOEngine
from csflow.runtime.errors import ConfigError, InferenceError
from csflow.runtime.types import Frame, Prediction

MakeBundle = Callable[..., Bundle]
CHOICES = ("mode=latency", "mode=throughput", "threads=1", "mode=throughput&threads=1")


def pictures(count: int) -> list[Frame]:
    draw = np.random.default_rng(6)
    return [Frame(draw.integers(0, 256, (128, 128, 3), dtype=np.uint8), i) for i in range(count)]


@pytest.fixture
def four_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor for which OpenVINO recommends four requests in throughput mode, whatever this one is."""
    compiled = openvino.CompiledModel
    ask = compiled.get_property

    def get_property(self: object, name: str) -> object:
        many = name == "OPTIMAL_NUMBER_OF_INFER_REQUESTS" and str(ask(self, "PERFORMANCE_HINT")).endswith("THROUGHPUT")
        return 4 if many else ask(self, name)

    monkeypatch.setattr(compiled, "get_property", get_property)


def assert_same(got: list[Prediction], expected: list[Prediction]) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.score == pytest.approx(b.score, rel=1e-5)
        np.testing.assert_allclose(a.anomaly_map, b.anomaly_map, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("four_lanes")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_choice_predicts_the_same_in_the_same_order(trained_copy: Path, precision: str) -> None:
    bundle = Bundle.open(trained_copy)
    if precision == "bf16" and "BF16" not in new_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    frames = [frame for frame, _ in load_golden(bundle)][:3] + pictures(3)
    with OpenVINOEngine(bundle, precision) as plain:
        expected = [plain.infer([frame])[0] for frame in frames]
    for choice in CHOICES:
        with load_engine(bundle, f"openvino-{precision}?{choice}") as engine:
            assert engine.name == f"openvino-{precision}", "a record of the decision gate holds for every choice"
            assert_same(engine.infer(frames), expected)
            assert_same(engine.infer(frames[::-1]), expected[::-1])
            assert engine.infer([]) == []


def lanes(engine: Engine) -> int:
    assert isinstance(engine, OpenVINOEngine)
    assert engine.batch == len(engine._lanes)
    return engine.batch


@pytest.mark.usefixtures("four_lanes")
def test_throughput_computes_several_frames_at_the_same_time(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, under_way, most = Bundle.open(trained_copy), set(), [0]
    start, wait = openvino.InferRequest.start_async, openvino.InferRequest.wait

    def counted_start(self: object, *args: object, **kwargs: object) -> None:
        under_way.add(id(self))
        most[0] = max(most[0], len(under_way))
        start(self, *args, **kwargs)

    def counted_wait(self: object) -> None:
        wait(self)
        under_way.discard(id(self))

    monkeypatch.setattr(openvino.InferRequest, "start_async", counted_start)
    monkeypatch.setattr(openvino.InferRequest, "wait", counted_wait, raising=False)
    for mode, expected in (("latency", 1), ("throughput", 4)):
        most[0] = 0
        with load_engine(bundle, f"openvino-fp32?mode={mode}") as engine:
            engine.infer(pictures(6))
            assert (lanes(engine), most[0]) == (expected, expected)
            assert not under_way


def test_mode_and_threads_reach_openvino(trained_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_model = openvino.Core.compile_model

    def recorded(self: object, *args: object) -> object:
        compiled.append(compile_model(self, *args))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", recorded)
    bundle = Bundle.open(trained_copy)
    with load_engine(bundle, "openvino-fp32?threads=1&mode=throughput"):
        for model in compiled:
            assert model.get_property("INFERENCE_NUM_THREADS") == 1
            assert str(model.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")
    del compiled[:]
    with load_engine(bundle, "openvino-fp32"):
        for model in compiled:
            assert str(model.get_property("PERFORMANCE_HINT")).endswith("LATENCY")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("sse2 avx avx2", "NO"),
        ("sse2 avx avx2 avx512f", "NO"),
        ("sse2 avx avx2 avx_vnni", None),
        ("sse2 avx avx2 avx512f avx512_vnni", None),
        ("fp asimd", None),
        ("", "NO"),
    ],
)
def test_eight_bits_are_taken_where_their_sums_have_room(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: str | None
) -> None:
    told = []
    compile_model = openvino.Core.compile_model

    def recorded(self: object, model: object, device: str, config: dict[str, str]) -> object:
        told.append(config.get("LP_TRANSFORMS_MODE"))
        return compile_model(self, model, device, config)

    monkeypatch.setattr(openvino.Core, "compile_model", recorded)
    monkeypatch.setattr("csflow.runtime.engines.openvino.core.processor_instructions", lambda: flags)
    with load_engine(Bundle.open(trained_copy), "openvino-fp32"):
        assert told == [expected, expected]


@pytest.mark.usefixtures("four_lanes")
def test_a_frame_that_fails_leaves_the_engine_ready_for_the_next(trained_copy: Path) -> None:
    odd = Frame(np.zeros((64, 64, 3), np.uint8))
    with OpenVINOEngine(Bundle.open(trained_copy), "fp32", mode="throughput") as engine:
        good = pictures(3)
        expected = engine.infer(good)
        for bad in ([odd], [good[0], odd, good[1]], [*good, odd]):
            with pytest.raises(InferenceError, match="OpenVINO failed"):
                engine.infer(bad)
            assert_same(engine.infer(good), expected)


def test_frames_that_lie_apart_or_may_not_be_written_are_read_all_the_same(trained_copy: Path) -> None:
    whole = pictures(1)[0]
    mirrored = Frame(whole.image[:, ::-1][:, ::-1])
    apart = Frame(np.repeat(whole.image, 2, axis=1)[:, ::2])
    fixed = Frame(whole.image.copy())
    fixed.image.setflags(write=False)
    with OpenVINOEngine(Bundle.open(trained_copy), "fp32") as engine:
        expected = engine.infer([whole]) * 3
        assert_same(engine.infer([mirrored, apart, fixed]), expected)


GRAPHS = {
    "graphs/fp32/backbone.onnx": """<ir_version: 8, opset_import: ["" : 20]>
        backbone (uint8[N, 64, 64, 3] frame) => (float[N, 3, 64, 64] features_0) {
            values = Cast<to = 1>(frame)
            features_0 = Transpose<perm = [0, 3, 1, 2]>(values)
        }""",
    "graphs/fp32/flow.onnx": """<ir_version: 8, opset_import: ["" : 20]>
        flow (float[N, 3, 64, 64] features_0) => (float[N] score, float[N, 64, 64] anomaly_map)
        <float[1] zero = {0}, float[1] one = {1}, int64[3] all = {1, 2, 3}, int64[1] channels = {1}> {
            sub = Sub(features_0, zero)
            div = Div(sub, one)
            score = ReduceMean<keepdims = 0>(div, all)
            anomaly_map = ReduceMean<keepdims = 0>(div, channels)
        }""",
}


def test_a_standardisation_that_openvino_folds_away_does_not_hide_the_features(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    bundle = make_bundle().update(
        {name: onnx.parser.parse_model(text).SerializeToString() for name, text in GRAPHS.items()}
    )
    picture = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with load_engine(bundle, "openvino-fp32") as engine:
        (prediction,) = engine.infer([Frame(picture)])
    assert prediction.score == pytest.approx(picture.mean(), rel=1e-5)
    np.testing.assert_allclose(prediction.anomaly_map, picture.mean(axis=2), rtol=1e-5)


EFFICIENTNET = """<ir_version: 8, opset_import: ["" : 20]>
    backbone (uint8[N, 64, 64, 3] frame) => (float[N, 3, 64, 64] features_0)
    <float[3, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}, float[1] twenty = {20}, int64[2] all = {2, 3}> {
        values = Cast<to = 1>(frame)
        planes = Transpose<perm = [0, 3, 1, 2]>(values)
        above = Sub(planes, twenty)
        root = Sqrt(above)
        conv = Conv(root, w)
        gate = Sigmoid(conv)
        silu = Mul(conv, gate)
        mean = ReduceMean<keepdims = 1>(silu, all)
        squeezed = Conv(mean, w)
        share = Sigmoid(squeezed)
        excited = Mul(silu, share)
        out = Conv(excited, w)
        features_0 = Add(out, conv)
    }"""


def test_a_nan_born_inside_an_efficientnet_block_reaches_its_features_and_is_no_score(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    texts = {**GRAPHS, "graphs/fp32/backbone.onnx": EFFICIENTNET}
    bundle = make_bundle().update(
        {name: onnx.parser.parse_model(text).SerializeToString() for name, text in texts.items()}
    )
    whole, dark = (np.full((64, 64, 3), 90, np.uint8) for _ in range(2))
    dark[7, 9, 1] = 5  # the root of a negative number
    with load_engine(bundle, "openvino-fp32") as engine:
        sound, lost = engine.infer([Frame(whole), Frame(dark)])
    assert np.isfinite(sound.score)
    assert np.isnan(lost.score)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("openvino?mode=fast", "latency, throughput"),
        ("openvino?threads=0", "from 1 to"),
        (f"openvino?threads={len(os.sched_getaffinity(0)) + 1}", "from 1 to"),
        ("openvino?threads=two", "threads='two'"),
        ("openvino-fp32?thread=2", "did you mean 'threads'"),
        ("openvino?threads=1&threads=1", "twice"),
        ("fake?threads=1", "'fake' has no options"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_words(trained_copy: Path, backend: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_engine(Bundle.open(trained_copy), backend)
