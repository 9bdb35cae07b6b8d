"""CUDA graphs of the TensorRT engine, over a fake GPU: one for each batch size, checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.cuda.fake import FakeDriver, Fault
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.types import Frame

Install = Callable[..., Any]


def frame(level: int) -> Frame:
    return Frame(np.full((64, 64, 3), level, np.uint8))


def picture(seed: int) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8))


def opened(bundle: Bundle, stage: Any) -> TensorRTEngine:
    return TensorRTEngine(bundle, driver=stage.driver)


def test_every_batch_size_is_launched_as_its_own_graph_however_they_alternate(
    trt_bundle: Bundle, stage: Install
) -> None:
    scene = stage()
    with opened(trt_bundle, scene) as engine:
        assert engine.batch == 4
        assert engine.describe().endswith("CUDA graphs")
        del scene.events[:], scene.driver.calls[:]
        for count in (1, 2, 1, 3, 4, 3, 2, 4, 1):
            got = engine.infer([picture(10 * count + i) for i in range(count)])
            expected = [picture(10 * count + i).image.mean() / 255 for i in range(count)]
            assert [p.score for p in got] == pytest.approx(expected, rel=1e-3)
        names = scene.driver.names()
        assert scene.events == [], "nothing is enqueued by itself"
        assert names.count("launch") == 9
        assert not {"begin_capture", "malloc", "host_alloc", "destroy_graph"} & set(names), "nothing is set up any more"
    assert scene.driver.lost == []
    assert scene.driver.live == {}


def test_the_largest_batches_run_plainly(
    calibrated_bundle: Bundle, fake_trt: ModuleType, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.engines.tensorrt.pipeline.GRAPH_SIZES", 2)
    scene = stage()
    with opened(fake_trt.with_graphs(calibrated_bundle, batch=(2, 3, 5)), scene) as engine:
        assert scene.driver.names().count("begin_capture") == 2
        for count, plainly in ((1, 0), (2, 0), (3, 0), (5, 1), (3, 0), (4, 1), (4, 1)):
            del scene.events[:]
            frames = [frame(25 * i + count) for i in range(count)]
            levels = [(25 * i + count) / 255 for i in range(count)]
            assert [p.score for p in engine.infer(frames)] == pytest.approx(levels, rel=1e-3)
            assert scene.events == ["execute backbone", "execute flow"] * plainly


def test_graphs_that_disturb_each_other_are_not_used(
    trt_bundle: Bundle, stage: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, scene = FakeDriver.launch, stage()
    graphs: list[int] = []

    def disturbed(driver: FakeDriver, graph: int, stream: int) -> None:
        """Only the graph that was captured first works."""
        graphs.append(graph)
        launch(driver, min(handle for kind, handle in driver.live if kind == "graph"), stream)

    monkeypatch.setattr(FakeDriver, "launch", disturbed)
    with opened(trt_bundle, scene) as engine:
        assert engine.describe().endswith("no CUDA graphs: the one of 2 frames gives other scores than a plain run")
        for count in (1, 3, 2):
            got = engine.infer([frame(51 + i) for i in range(count)])
            assert [p.score for p in got] == pytest.approx([(51 + i) / 255 for i in range(count)], rel=1e-3)
    assert len(graphs) == 2
    assert scene.driver.lost == []
    assert scene.driver.live == {}


@pytest.mark.parametrize("code", [900, 901, 801, 2])
@pytest.mark.parametrize("call", ["begin_capture", "end_capture"])
def test_a_stream_that_is_not_captured_runs_plainly(trt_bundle: Bundle, stage: Install, call: str, code: int) -> None:
    scene = stage(FakeDriver(fault=Fault(0, code, sticky=False, call=call)))
    with opened(trt_bundle, scene) as engine:
        for level in (10, 20, 30):
            assert engine.infer([frame(level)])[0].score == pytest.approx(level / 255, rel=1e-3)
        assert f"no CUDA graphs: the stream is not captured: {call} says" in engine.describe()
        assert "launch" not in scene.driver.names()
    assert scene.driver.lost == []
