"""Compute faults, G1 to G11: whatever fails, no part becomes OK, and nothing leaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.cuda.fake import FakeDriver, Fault
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.tensorrt import engine as module
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.errors import BackendUnavailable, EngineError, EngineMismatch, InferenceError
from csflow.runtime.line.stream import run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.types import Frame, Verdict

Install = Callable[..., Any]
CAMERA = "resize_48x96"
GOOD = 100


def frame(level: int = GOOD, height: int = 64, width: int = 64) -> Frame:
    return Frame(np.full((height, width, 3), level, np.uint8))


@pytest.fixture
def bundle(calibrated_bundle: Bundle, fake_trt: ModuleType) -> Bundle:
    made: Bundle = fake_trt.with_graphs(calibrated_bundle, CAMERA)
    return made


def detector_of(bundle: Bundle, engine: TensorRTEngine) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine, calibration)


BATCHES = (1, 1, 2, 2, 1)


def live_and_fail(bundle: Bundle, driver: FakeDriver) -> str:
    """Open, infer in every way the engine has, close; why it failed on the way, checked to be final, or nothing."""
    engine = TensorRTEngine(bundle, driver=driver)
    reasons: list[str] = []
    for count in BATCHES:
        try:
            resized = engine.resize(frame(GOOD, 48, 96).image)
            got = engine.infer([Frame(resized)] * count)
        except InferenceError as error:
            reasons.append(str(error))
            continue
        assert not reasons, "a prediction after a failure"
        assert [p.score for p in got] == pytest.approx([GOOD / 255] * count, rel=1e-3)
    assert set(reasons) == {engine.failure} - {""}
    engine.close()
    engine.close()
    return reasons[0] if reasons else ""


def outcome(bundle: Bundle, scene: Any) -> str:
    try:
        reason = live_and_fail(bundle, scene.driver)
    except EngineError as error:
        reason = str(error)
    return reason


@pytest.mark.fault("G1")
@pytest.mark.parametrize("integrated", [False, True], ids=["discrete", "integrated"])
@pytest.mark.parametrize("sticky", [True, False], ids=["sticky", "once"])
def test_g1_a_cuda_error_at_every_call_is_final_and_leaks_nothing(
    bundle: Bundle, stage: Install, integrated: bool, sticky: bool
) -> None:
    scene = stage(FakeDriver(integrated=integrated))
    assert outcome(bundle, scene) == ""
    calls = scene.driver.names()
    closing = len(calls) - 1 - calls[::-1].index("push")
    for at, name in enumerate(calls):
        scene.driver, scene.events = FakeDriver(integrated=integrated, fault=Fault(at, 700, sticky)), []
        reason, names = outcome(bundle, scene), scene.driver.names()
        assert names[: at + 1] == calls[: at + 1]
        assert (f"{name} says CUDA_ERROR_INJECTED (700)" in reason) == (at < closing), (at, name, reason)
        assert scene.driver.depth() == 0
        last_push = len(names) - 1 - names[::-1].index("push") if "push" in names else 0
        if at > last_push or not (sticky or at == last_push):
            assert scene.driver.lost == [], (at, name)
        made = {event for event in scene.events if event.startswith(("runtime", "context"))}
        destroyed = [event for event in scene.events if event.startswith("destroy")]
        for event in made:
            assert [d.removesuffix(" without a context") for d in destroyed].count(f"destroy {event}") == 1, (at, name)
        assert not made or destroyed[-1].startswith("destroy runtime"), (at, name, destroyed)


@pytest.mark.fault("G1")
def test_g1_a_failed_engine_gives_error_results_and_ends_the_run(bundle: Bundle, stage: Install) -> None:
    scene = stage()
    with TensorRTEngine(bundle, driver=scene.driver) as engine:
        sink, detector = MemorySink(), detector_of(bundle, engine)
        run_stream(FakeSource([frame(), frame()]), detector, [sink])
        sink.closed = False
        scene.driver.fault = Fault(0)
        with pytest.raises(
            InferenceError, match=r"engine tensorrt-fp16 failed \(push says CUDA_ERROR_INJECTED \(700\)\)"
        ):
            run_stream(FakeSource([frame()] * 9), detector, [sink])
        scene.driver.fault = None
        with pytest.raises(InferenceError, match="700"):
            engine.infer([frame()])
    verdicts = [result.verdict for result in sink.results]
    assert verdicts == [Verdict.OK] * 2 + [Verdict.ERROR] * 3
    assert "700" in sink.results[-1].reason
    assert math.isnan(sink.results[-1].score)
    with TensorRTEngine(bundle, driver=scene.driver) as again:
        assert again.infer([frame()])[0].score == pytest.approx(GOOD / 255, rel=1e-3), "a new engine recovers"
    assert scene.driver.lost == []


@pytest.mark.fault("G1")
def test_g1_what_tensorrt_logged_is_told(bundle: Bundle, stage: Install) -> None:
    scene = stage()
    with TensorRTEngine(bundle, driver=scene.driver) as engine:
        scene.refuse.add("execute flow")
        assert engine.infer([frame()] * 2)[0].score > 0, "a graph launches what was captured"
        scene.refuse.clear()
    scene = stage(FakeDriver(no_capture="not here"))
    with TensorRTEngine(bundle, driver=scene.driver) as engine:
        scene.refuse.add("execute flow")
        with pytest.raises(InferenceError, match="the flow plan cannot be run; TensorRT: enqueueV3: the kernel is not"):
            engine.infer([frame()] * 2)
        scene.refuse.clear()
        with pytest.raises(InferenceError, match="the flow plan cannot be run"):
            engine.infer([frame()])
    assert scene.driver.lost == []


@pytest.mark.fault("G1")
def test_g1_tensorrt_that_refuses_to_be_captured_runs_plainly(
    bundle: Bundle, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = stage()
    begin, end = FakeDriver.begin_capture, FakeDriver.end_capture

    def refusing(driver: FakeDriver, stream: int) -> None:
        scene.refuse.add("execute flow")
        begin(driver, stream)

    def relenting(driver: FakeDriver, stream: int) -> int:
        scene.refuse.discard("execute flow")
        return end(driver, stream)

    monkeypatch.setattr(FakeDriver, "begin_capture", refusing)
    monkeypatch.setattr(FakeDriver, "end_capture", relenting)
    with TensorRTEngine(bundle, driver=scene.driver) as engine:
        assert engine.infer([frame()])[0].score == pytest.approx(GOOD / 255, rel=1e-3)
        assert "the flow plan cannot be run" in engine.describe()
    assert scene.driver.lost == []


@pytest.mark.fault("G3")
@pytest.mark.parametrize("call", ["malloc", "host_alloc", "make_stream"])
def test_g3_no_gpu_memory_at_opening_says_so_and_frees_all(bundle: Bundle, stage: Install, call: str) -> None:
    scene = stage(FakeDriver(fault=Fault(0, 2, sticky=False, call=call)))
    with pytest.raises(EngineError, match=rf"{call} says .* \(2\)\): close other programs that use the GPU"):
        TensorRTEngine(bundle, driver=scene.driver)
    assert scene.driver.lost == []
    assert scene.driver.live == {}


@pytest.mark.fault("G3")
@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("context flow", "cannot run the flow plan"),
        ("deserialize backbone", "does not load the backbone plan: the plan is of another kind"),
        ("address flow", "the flow plan takes no address for features_0"),
        ("shape backbone", "the backbone plan takes no frame of shape"),
    ],
)
def test_g3_tensorrt_that_gives_nothing(bundle: Bundle, stage: Install, refused: str, message: str) -> None:
    scene = stage()
    scene.refuse.add(refused)
    with pytest.raises(EngineError, match=message):
        TensorRTEngine(bundle, driver=scene.driver)
    assert scene.driver.lost == []
    assert scene.driver.live == {}


@pytest.mark.fault("G5")
def test_g5_a_missing_device(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "csflow.runtime.machine.probes.cuda", lambda: {"code": 100, "problem": "CUDA_ERROR_NO_DEVICE (100)"}
    )
    with pytest.raises(BackendUnavailable, match="CUDA_ERROR_NO_DEVICE"):
        open_engine(bundle, "tensorrt")


@pytest.mark.fault("G6")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["score", "anomaly_map"])
def test_g6_what_is_not_finite_passes_through_and_is_an_error(
    bundle: Bundle, fake_trt: ModuleType, stage: Install, monkeypatch: pytest.MonkeyPatch, bad: float, where: str
) -> None:
    compute = fake_trt.compute

    def broken(driver: Any, plan: Any, places: Any, frames: int) -> None:
        compute(driver, plan, places, frames)
        if plan["graph"] == "flow":
            driver.view(places[where], 4).view(np.float32)[...] = bad

    with TensorRTEngine(bundle, driver=stage().driver) as engine:
        monkeypatch.setattr(fake_trt, "compute", broken)
        detector = detector_of(bundle, engine)
        for _ in range(2):
            result = detector.detect(frame())
            assert result.verdict is Verdict.ERROR
            assert "not finite" in result.reason
        monkeypatch.setattr(fake_trt, "compute", compute)
        assert detector.detect(frame()).verdict is Verdict.OK


@pytest.mark.fault("G9")
@pytest.mark.parametrize(
    ("gpu", "version", "message"),
    [
        ({"minor": 9}, "10.3", "is for GPUs of compute capability 8.7, this one has 8.9"),
        ({}, "10.13", "was built by tensorrt 10.3.0.26, the library here is 10.13.3.9"),
    ],
)
def test_g9_another_gpu_or_tensorrt_than_the_plans(
    bundle: Bundle,
    fake_trt: ModuleType,
    stage: Install,
    monkeypatch: pytest.MonkeyPatch,
    gpu: dict[str, int],
    version: str,
    message: str,
) -> None:
    scene = stage(version=version)
    monkeypatch.setattr("csflow.runtime.machine.probes.cuda", lambda: {"code": 0, "devices": [{**fake_trt.GPU, **gpu}]})
    with pytest.raises(EngineMismatch, match=message):
        TensorRTEngine(bundle, driver=scene.driver)
    assert not [event for event in scene.events if event.startswith("deserialize")], "refused before it is loaded"
    assert scene.driver.lost == []


@pytest.mark.fault("G11")
def test_g11_an_engine_that_decides_otherwise_does_not_open(
    bundle: Bundle, fake_trt: ModuleType, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, compute = stage(), fake_trt.compute

    def drifting(driver: Any, plan: Any, places: Any, frames: int) -> None:
        compute(driver, plan, places, frames)
        if plan["graph"] == "flow":
            driver.view(places["score"], 4).view(np.float32)[...] *= 1.06

    monkeypatch.setattr(fake_trt, "compute", drifting)
    monkeypatch.setattr(module, "open_driver", lambda: scene.driver)
    with pytest.raises(EngineMismatch, match="does not agree with the trained model on the golden frames"):
        open_engine(bundle, "tensorrt")
    assert scene.driver.lost == []
    assert scene.driver.live == {}
