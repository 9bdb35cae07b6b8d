"""TensorRT engine over a fake GPU and a fake TensorRT: what is called, in which order, with which memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engine import Engine
from csflow.runtime.engines.cuda.fake import FakeDriver
from csflow.runtime.engines.opening import default_backend, open_engine
from csflow.runtime.engines.tensorrt import engine as module
from csflow.runtime.engines.tensorrt.capabilities import Capabilities, create_context
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.errors import BackendUnavailable, BundleError, EngineError, EngineMismatch, InferenceError
from csflow.runtime.machine import probes
from csflow.runtime.types import Frame, Verdict

Install = Callable[..., Any]
CAMERA = "resize_48x96"


def frame(level: int, height: int = 64, width: int = 64) -> Frame:
    return Frame(np.full((height, width, 3), level, np.uint8))


def picture(seed: int, height: int = 64, width: int = 64) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def opened(bundle: Bundle, stage: Any) -> TensorRTEngine:
    return TensorRTEngine(bundle, driver=stage.driver)


@pytest.mark.parametrize("integrated", [False, True])
def test_scores_are_those_of_the_model(trt_bundle: Bundle, stage: Install, integrated: bool) -> None:
    scene = stage(FakeDriver(integrated=integrated))
    with opened(trt_bundle, scene) as engine:
        assert isinstance(engine, Engine)
        for level in (0, 7, 130, 255, 3):
            (got,) = engine.infer([frame(level)])
            assert got.score == pytest.approx(level / 255, rel=1e-3)
            assert got.anomaly_map == pytest.approx(np.full((2, 2), level / 255), rel=1e-3)
            assert got.anomaly_map.dtype == np.float32
    assert scene.driver.lost == []


def test_the_flow_reads_what_the_backbone_wrote_and_addresses_are_set_once(trt_bundle: Bundle, stage: Install) -> None:
    scene = stage()
    with opened(trt_bundle, scene) as engine:
        for count in (1, 2, 2, 2, 4, 1, 1, 1):
            engine.infer([picture(i) for i in range(count)])
    for name in ("features_0", "features_1"):
        assert scene.addresses[f"backbone {name}"] == scene.addresses[f"flow {name}"]
    assert {len(addresses) for addresses in scene.addresses.values()} == {1}
    assert len({a for addresses in scene.addresses.values() for a in addresses}) == 5


def test_a_discrete_gpu_copies_all_and_an_integrated_one_the_features_that_are_looked_at(
    trt_bundle: Bundle, stage: Install
) -> None:
    features = ["copy_to_host"] * 2
    for integrated, copies in ((False, ["copy_to_device", *["copy_to_host"] * 2, *features]), (True, features)):
        scene = stage(FakeDriver(integrated=integrated, no_capture="not here"))
        with opened(trt_bundle, scene) as engine:
            before, allocated = len(scene.driver.calls), scene.driver.names().count("malloc")
            engine.infer([frame(9)])
            called = scene.driver.names()[before:]
            assert called == ["push", *copies, "record", "wait", "pop"]
            assert scene.driver.names().count("malloc") == allocated == (2 if integrated else 5)
            assert ("shared memory" in engine.describe()) is integrated


@pytest.mark.parametrize("name", ["features_0", "features_1"])
@pytest.mark.parametrize("none", ["nan", "inf", "-inf"])
def test_features_that_are_no_numbers_give_no_score_though_a_later_stage_makes_numbers_of_them(
    trt_bundle: Bundle, fake_trt: ModuleType, stage: Install, name: str, none: str
) -> None:
    fake_trt.write_plan(trt_bundle, "backbone", none=(name, none))
    with opened(trt_bundle, stage()) as engine:
        predictions = engine.infer([frame(51), frame(255), frame(102)])
        assert np.isnan(predictions[1].score)
        assert np.isnan(predictions[1].anomaly_map).all()
        assert predictions[1].anomaly_map.shape == (2, 2)
        assert [p.score for p in predictions[::2]] == pytest.approx([0.2, 0.4], rel=1e-3)
        assert engine.infer([frame(51)])[0].score == pytest.approx(0.2, rel=1e-3)


def test_order_of_one_run_and_of_the_end(trt_bundle: Bundle, stage: Install) -> None:
    scene = stage()
    engine = opened(trt_bundle, scene)
    names = scene.events[:5]
    assert names == ["runtime", "deserialize backbone", "context backbone", "deserialize flow", "context flow"]
    assert scene.events[5:] == ["execute backbone", "execute flow"] * 8, "each of four sizes once plainly, once noted"
    del scene.events[:]
    engine.close()
    engine.close()
    order = ["context flow", "engine flow", "context backbone", "engine backbone", "runtime"]
    assert scene.events == [f"destroy {name}" for name in order]
    names = scene.driver.names()
    assert names[-2:] == ["pop", "release"]
    assert names.index("destroy_graph") < names.index("free") < names.index("destroy_event")
    assert scene.driver.lost == []
    assert scene.driver.live == {}


def test_more_frames_than_the_plans_take_go_in_turns(trt_bundle: Bundle, stage: Install) -> None:
    with opened(trt_bundle, stage()) as engine:
        frames = [frame(level) for level in range(0, 250, 25)]
        assert [p.score for p in engine.infer(frames)] == pytest.approx([i * 25 / 255 for i in range(10)], rel=1e-3)
        assert engine.infer([]) == []


def test_a_fixed_batch_is_filled_up(calibrated_bundle: Bundle, fake_trt: ModuleType, stage: Install) -> None:
    trt_bundle = fake_trt.with_graphs(calibrated_bundle, batch=(4, 4, 4))
    scene = stage()
    with opened(trt_bundle, scene) as engine:
        assert [p.score for p in engine.infer([frame(51), frame(102)])] == pytest.approx([0.2, 0.4], rel=1e-3)
        assert scene.driver.names().count("begin_capture") == 1, "the batch never changes"


def test_results_are_the_callers_own(trt_bundle: Bundle, stage: Install) -> None:
    engine = opened(trt_bundle, stage())
    (first,) = engine.infer([frame(255)])
    engine.infer([frame(0)])
    engine.close()
    assert first.anomaly_map.min() == 1.0


def test_threads_take_turns_each_with_its_context(trt_bundle: Bundle, stage: Install) -> None:
    scene = stage()
    engine = opened(trt_bundle, scene)
    wrong: list[float] = []

    def work(level: int) -> None:
        for _ in range(20):
            wrong.extend(p.score for p in engine.infer([frame(level)]) if abs(p.score - level / 255) > 1e-3)
        assert scene.driver.depth() == 0

    threads = [threading.Thread(target=work, args=(level,)) for level in (10, 90, 170, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join()
    assert wrong == []
    assert scene.driver.lost == []
    running = [thread for name, thread in scene.driver.calls if name in ("push", "pop")]
    assert len(set(running)) >= 3, "the system may give a later thread the number of one that ended"
    assert running[0::2] == running[1::2], "what a thread pushes it pops, before another one pushes"


def test_open_engine_checks_golden_frames_and_auto_takes_the_gpu(
    trt_bundle: Bundle, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = stage()
    monkeypatch.setattr(module, "open_driver", lambda: scene.driver)
    assert default_backend(trt_bundle) == "tensorrt"
    with Detector.open(trt_bundle.path) as detector:
        assert detector.engine.name == "tensorrt-fp16"
        assert detector.detect(frame(200)).verdict is Verdict.NOK
        assert detector.detect(frame(100)).verdict is Verdict.OK
        assert detector.detect(frame(0)).verdict is Verdict.ERROR
    with pytest.raises(BundleError, match="has no graphs/fp32/backbone"):
        open_engine(trt_bundle, "tensorrt-fp32")
    assert scene.driver.lost == []
    monkeypatch.setattr(probes, "cuda", lambda: {"code": -1, "problem": "no driver"})
    assert default_backend(trt_bundle) == "torch"
    with pytest.raises(BackendUnavailable, match="and there is none here"):
        open_engine(trt_bundle, "tensorrt")


@pytest.mark.fault("M4")
def test_plans_are_checked_before_they_are_loaded(trt_bundle: Bundle, fake_trt: ModuleType, stage: Install) -> None:
    scene = stage()
    trt_bundle = trt_bundle.update({"graphs/fp16/flow.onnx": b"another"})
    with pytest.raises(EngineMismatch, match="the flow plan was built from another graph"):
        opened(trt_bundle, scene)
    assert "deserialize flow" not in scene.events
    path = fake_trt.write_plan(trt_bundle, "flow")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EngineError, match="SHA-256"):
        opened(trt_bundle, scene)
    path.unlink()
    with pytest.raises(EngineError, match="there is no plan"):
        opened(trt_bundle, scene)
    assert "deserialize flow" not in scene.events
    assert scene.driver.lost == []
    assert scene.driver.live == {}


def test_plans_with_code_are_loaded_on_request_only(
    trt_bundle: Bundle, fake_trt: ModuleType, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for graph in ("backbone", "flow"):
        fake_trt.write_plan(trt_bundle, graph, version_compatible=True)
    with pytest.raises(EngineError, match="CSFLOW_PLAN_CODE=1"):
        opened(trt_bundle, stage())
    monkeypatch.setenv("CSFLOW_PLAN_CODE", "1")
    opened(trt_bundle, stage()).close()


@pytest.mark.parametrize(
    ("graph", "changes", "message"),
    [
        ("flow", {"features_0": ["features_0", "INPUT", "FLOAT", [1, 2, 2]]}, "the flow plan takes features_0 float32"),
        ("flow", {"score": ["score", "OUTPUT", "HALF", []]}, "in another form"),
        ("backbone", {"frame": ["frame", "INPUT", "FLOAT", [64, 64, 3]]}, "one uint8 frame"),
        ("backbone", {"frame": ["frame", "INPUT", "INT8", [64, 64, 3]]}, "neither uint8 nor half nor float"),
    ],
    ids=["features", "score", "frame", "type"],
)
def test_plans_that_do_not_fit_each_other(
    trt_bundle: Bundle, fake_trt: ModuleType, stage: Install, graph: str, changes: dict[str, Any], message: str
) -> None:
    scene = stage()
    fake_trt.write_plan(trt_bundle, graph, ports=[changes.get(port[0], port) for port in fake_trt.ports_of(graph)])
    with pytest.raises(EngineMismatch, match=message):
        opened(trt_bundle, scene)
    assert scene.driver.lost == []


def test_batches_that_do_not_meet(trt_bundle: Bundle, fake_trt: ModuleType, stage: Install) -> None:
    fake_trt.write_plan(trt_bundle, "flow", batch=(8, 8, 8))
    with pytest.raises(EngineMismatch, match="no batch size suits all plans"):
        opened(trt_bundle, stage())


def test_frames_of_another_size_are_refused_and_the_engine_goes_on(trt_bundle: Bundle, stage: Install) -> None:
    with opened(trt_bundle, stage()) as engine:
        with pytest.raises(InferenceError, match=r"expected frames \(64, 64, 3\) uint8, got \(32, 64, 3\)"):
            engine.infer([frame(1, 32, 64)])
        assert engine.infer([frame(51)])[0].score == pytest.approx(0.2, rel=1e-3)


def test_tensorrt_for_rtx_is_told_to_make_its_own_graphs() -> None:
    config = SimpleNamespace(cuda_graph_strategy="disabled")
    given: list[Any] = []
    engine = SimpleNamespace(
        create_runtime_config=lambda: config,
        create_execution_context=lambda *arguments: given.append(arguments) or "context",
    )
    trt = SimpleNamespace(CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole graph"))
    assert create_context(trt, engine, Capabilities(frozenset({"own-graphs"}))) == "context"
    assert create_context(trt, engine, Capabilities(frozenset())) == "context"
    assert config.cuda_graph_strategy == "whole graph"
    assert given == [(config,), ()]


def test_a_library_that_does_not_start_is_one_clear_error(
    trt_bundle: Bundle, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = stage()

    def refuse(_logger: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(scene.module, "Runtime", refuse)
    with pytest.raises(EngineError, match=r"TensorRT 10\.3\.0\.26 does not start \(pybind11"):
        opened(trt_bundle, scene)
    assert scene.driver.lost == []
