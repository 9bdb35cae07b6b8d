"""What every engine promises, whatever computes behind it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import BatchEngine, DescribedEngine, Engine
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.opening import backends, load_engine
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.types import Frame, Prediction


def floating(request: pytest.FixtureRequest, backend: str) -> Engine:
    """An engine of a small trained model."""
    return load_engine(Bundle.open(request.getfixturevalue("trained_copy")), backend)


def quantized(request: pytest.FixtureRequest, backend: str) -> Engine:
    bundle = Bundle.open(request.getfixturevalue("trained_copy"))
    return load_engine(bundle.update(request.getfixturevalue("int8_files")), backend)


def planned(request: pytest.FixtureRequest, _backend: str) -> Engine:
    """TensorRT over a fake GPU."""
    from csflow.runtime.engines.tensorrt.engine import TensorRTEngine

    scene = request.getfixturevalue("stage")()
    return TensorRTEngine(request.getfixturevalue("trt_bundle"), driver=scene.driver)


def served(request: pytest.FixtureRequest, _backend: str) -> Engine:
    """A server that computes as the fake engine does; it ends with the test."""
    from csflow.runtime.engines.triton.engine import TritonEngine

    from .triton.fake_server import Served, over_grpc

    bundle: Bundle = request.getfixturevalue("calibrated_bundle")
    server = over_grpc(Served(bundle))
    address = server.__enter__()
    request.addfinalizer(lambda: server.__exit__(None, None, None))
    return TritonEngine(bundle, address)


def faked(request: pytest.FixtureRequest, _backend: str) -> Engine:
    return FakeEngine(request.getfixturevalue("calibrated_bundle"))


ENGINES: dict[str, tuple[Callable[[pytest.FixtureRequest, str], Engine], str, int]] = {
    "fake": (faked, "", 64),
    "openvino-bf16": (floating, "openvino", 128),
    "openvino-fp32": (floating, "openvino", 128),
    "openvino-int8": (quantized, "openvino", 128),
    "openvino?mode=throughput": (floating, "openvino", 128),
    "tensorrt": (planned, "", 64),
    "triton": (served, "tritonclient", 64),
    "torch": (floating, "torch", 128),
    "torch-fp16": (floating, "torch", 128),
}
"""By what --backend takes: how it is opened, the library that it needs, side of its pictures in pixels."""


def test_every_backend_is_tried() -> None:
    tried = {re.sub(r"-(fp32|bf16|int8)$|\?.*", "", name) for name in ENGINES}
    # TensorRT for RTX differs from TensorRT in the library that it loads, and in nothing else.
    assert tried == set(backends()) - {"tensorrt-rtx"}


@pytest.fixture(scope="session")
def int8_files(trained: Path, product_line: Path) -> dict[str, bytes]:
    """The quantized last graph of `trained`."""
    pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")
    from csflow.export.gate.int8 import good_samples, int8_file, int8_graph
    from csflow.toolkit.data.dataset import load_dataset

    bundle = Bundle.open(trained)
    return {int8_file(bundle): int8_graph(bundle, good_samples(load_dataset(product_line)))}


@pytest.fixture(params=list(ENGINES))
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, int]]:
    opener, library, side = ENGINES[request.param]
    if library:
        pytest.importorskip(library, reason=f"{library} is not installed")
    try:
        engine = opener(request, request.param)
    except BackendUnavailable as error:
        pytest.skip(f"this machine has no {request.param}: {error}")
    yield engine, side
    engine.close()


def pictures(side: int, count: int = 3) -> list[Frame]:
    draw = np.random.default_rng(5)
    return [Frame(draw.integers(0, 256, (side, side, 3), dtype=np.uint8), i) for i in range(count)]


def close_to(got: Prediction, expected: Prediction) -> bool:
    scores = math.isclose(got.score, expected.score, rel_tol=1e-4)
    return scores and np.allclose(got.anomaly_map, expected.anomaly_map, rtol=1e-3, atol=1e-5)


def test_it_keeps_the_protocol_and_its_name_says_what_runs(opened: tuple[Engine, int]) -> None:
    engine, _ = opened
    assert isinstance(engine, Engine)
    assert str(EngineName.parse(engine.name)) == engine.name
    if isinstance(engine, BatchEngine):
        assert engine.batch >= 1
    if isinstance(engine, DescribedEngine):
        assert engine.name.split("-")[0] in engine.describe().lower()


def test_a_prediction_is_a_positive_score_and_a_map_that_is_not_negative(opened: tuple[Engine, int]) -> None:
    engine, side = opened
    for prediction in engine.infer(pictures(side)):
        assert isinstance(prediction.score, float)
        assert math.isfinite(prediction.score)
        assert prediction.score > 0
        assert prediction.anomaly_map.dtype == np.float32
        assert prediction.anomaly_map.ndim == 2
        assert prediction.anomaly_map.size > 0
        assert np.isfinite(prediction.anomaly_map).all()
        assert (prediction.anomaly_map >= 0).all()


def test_each_picture_gets_its_own_prediction_alone_and_among_others(opened: tuple[Engine, int]) -> None:
    engine, side = opened
    frames = pictures(side)
    together = engine.infer(frames)
    assert len({p.score for p in together}) == len(frames)
    for frame, expected in zip(frames, together, strict=True):
        (alone,) = engine.infer([frame])
        assert close_to(alone, expected)


def test_predictions_are_the_callers_to_keep_and_pictures_stay_as_they_are(opened: tuple[Engine, int]) -> None:
    engine, side = opened
    frames = pictures(side)
    before = [frame.image.copy() for frame in frames]
    first = engine.infer(frames[:1])[0]
    kept = first.anomaly_map.copy()
    engine.infer(frames[1:])
    np.testing.assert_array_equal(first.anomaly_map, kept)
    for frame, image in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_a_picture_that_nobody_may_write_is_taken(opened: tuple[Engine, int]) -> None:
    engine, side = opened
    (frame,) = pictures(side, 1)
    frame.image.setflags(write=False)
    assert engine.infer([frame])[0].score > 0


def test_it_is_used_in_with_and_may_be_closed_again(opened: tuple[Engine, int]) -> None:
    engine, side = opened
    with engine as same:
        assert same is engine
        assert len(engine.infer(pictures(side, 2))) == 2
    engine.close()
