"""A Triton server as an engine, over both protocols, against a server that can be spoilt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.triton.engine import PRECISION, WEIGHTS, TritonEngine
from csflow.runtime.errors import BackendUnavailable, ConfigError, EngineMismatch, InferenceError
from csflow.runtime.types import Frame

pytest.importorskip("tritonclient", reason="needs the extra triton")

from .fake_server import MODEL, Served, over_grpc, over_http

Serve = Callable[[Served], AbstractContextManager[str]]


@pytest.fixture
def served(calibrated_bundle: Bundle) -> Served:
    return Served(calibrated_bundle)


@pytest.fixture(params=[over_grpc, over_http], ids=["grpc", "http"])
def address(request: pytest.FixtureRequest, served: Served) -> Iterator[str]:
    with request.param(served) as text:
        yield text


def frames(bundle: Bundle, count: int) -> list[Frame]:
    side = bundle.manifest.preprocessing.image_size
    noise = np.random.default_rng(5).integers(0, 256, (count, side, side, 3), np.uint8)
    return [Frame(image, index=i) for i, image in enumerate(noise)]


@pytest.mark.parametrize("shared", [None, False])
def test_frames_travel_in_batches_and_answers_come_in_order(address: str, served: Served, shared: bool | None) -> None:
    given = frames(served.bundle, 6)
    with TritonEngine(served.bundle, address, shared=shared) as engine:
        assert (engine.name, engine.batch) == ("triton-fp32", 4)
        got = engine.infer(given)
        again = engine.infer(given[:1])

    expected = FakeEngine(served.bundle).infer(given)
    assert served.requests == [4, 2, 1]
    assert [p.score for p in got] == [p.score for p in expected]
    assert all(np.array_equal(a.anomaly_map, b.anomaly_map) for a, b in zip(got, expected, strict=True))
    # What shared memory held for the first answers is not what the last one wrote there.
    assert got[0].score == again[0].score != got[1].score


def test_says_what_runs_where(served: Served) -> None:
    with over_grpc(served) as address:
        with TritonEngine(served.bundle, address) as engine:
            assert engine.describe() == f"triton-fp32 at {address} version 3, fake 1.0, shared memory"
        served.shared = False
        with TritonEngine(served.bundle, address) as engine:
            assert engine.describe().endswith("(the server opens no shared memory of this machine)")
        with pytest.raises(BackendUnavailable, match="Unable to open shared memory"):
            TritonEngine(served.bundle, address, shared=True)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"other": "x"}, "no model that csflow exported"),
        ({WEIGHTS: "0" * 64, PRECISION: "fp32"}, "made from other weights"),
        ({WEIGHTS: "", PRECISION: "fp99"}, "no model that csflow exported"),
    ],
)
def test_a_model_of_something_else_is_refused(served: Served, parameters: dict[str, str], words: str) -> None:
    served.parameters = parameters
    with over_grpc(served) as address, pytest.raises(EngineMismatch, match=words):
        TritonEngine(served.bundle, address)


def test_other_shapes_are_refused(served: Served) -> None:
    served.side *= 2
    with over_grpc(served) as address, pytest.raises(EngineMismatch, match="other inputs or outputs"):
        TritonEngine(served.bundle, address)


def test_an_unknown_model_is_refused(address: str, served: Served) -> None:
    with pytest.raises(BackendUnavailable, match=r"unknown model.*has it loaded the model"):
        TritonEngine(served.bundle, address.replace(MODEL, "part8"))


@pytest.mark.parametrize("serve", [over_grpc, over_http], ids=["grpc", "http"])
def test_a_server_that_is_not_there(served: Served, serve: Serve) -> None:
    with serve(served) as address:
        pass
    with pytest.raises(BackendUnavailable, match="is a Triton server there"):
        TritonEngine(served.bundle, address, timeout=5)


@pytest.mark.parametrize("serve", [over_grpc, over_http], ids=["grpc", "http"])
def test_a_server_that_goes_is_a_failure_and_no_verdict(served: Served, serve: Serve) -> None:
    with serve(served) as address:
        engine = TritonEngine(served.bundle, address, timeout=5)
        engine.infer(frames(served.bundle, 1))
        served.broken = "out of memory"
        with pytest.raises(InferenceError, match="out of memory"):
            engine.infer(frames(served.bundle, 1))
        served.broken = ""
        assert engine.infer(frames(served.bundle, 1))
    with pytest.raises(InferenceError, match="Triton at"):
        engine.infer(frames(served.bundle, 1))
    engine.close()
    with pytest.raises(InferenceError, match="closed"):
        engine.infer(frames(served.bundle, 1))


def test_a_model_replaced_on_the_server_decides_nothing(address: str, served: Served) -> None:
    with TritonEngine(served.bundle, address) as engine:
        served.versions = ["4"]
        with pytest.raises(InferenceError, match="version 3 is not found"):
            engine.infer(frames(served.bundle, 1))


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"score": None}, "score came as nothing"),
        ({"anomaly_map": np.zeros((1, 1, 1), np.float32)}, "anomaly_map came as float32"),
        ({"score": np.zeros((1, 1), np.float64)}, "score came as float64"),
    ],
)
def test_an_odd_answer_is_a_failure(served: Served, spoilt: dict[str, np.ndarray | None], words: str) -> None:
    served.spoil = spoilt
    with (
        over_http(served) as address,
        TritonEngine(served.bundle, address) as engine,
        pytest.raises(InferenceError, match=words),
    ):
        engine.infer(frames(served.bundle, 1))


def test_an_output_left_out_in_shared_memory_is_a_failure(served: Served) -> None:
    served.spoil = {"score": None}
    with (
        over_grpc(served) as address,
        TritonEngine(served.bundle, address, shared=True) as engine,
        pytest.raises(InferenceError, match="score came as nothing"),
    ):
        engine.infer(frames(served.bundle, 1))


def test_another_thread_may_ask(address: str, served: Served) -> None:
    (frame,) = frames(served.bundle, 1)
    answers: list[float] = []
    with TritonEngine(served.bundle, address) as engine:
        answers.append(engine.infer([frame])[0].score)
        thread = threading.Thread(target=lambda: answers.append(engine.infer([frame])[0].score))
        thread.start()
        thread.join()

    assert len(answers) == 2
    assert answers[0] == answers[1]


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), 1e9])
def test_a_timeout_that_cannot_be(served: Served, timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"expected 0\.001 to 3600 seconds"):
        TritonEngine(served.bundle, "grpc://127.0.0.1/p", timeout=timeout)
