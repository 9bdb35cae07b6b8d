"""The promises of the engine on a real GPU: memory, graphs, plans that are built, loaded and agree with the model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.graphs.resize_graph import write_resizes
from csflow.export.plans.build.options import EngineChoice
from csflow.export.plans.export import export_engines, prepare_engines
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.cuda.api import CudaDriver
from csflow.runtime.engines.cuda.session import Session
from csflow.runtime.engines.opening import load_engine, open_engine
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import BackendUnavailable, EngineError, InferenceError
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame

pytestmark = pytest.mark.gpu
FORMATS = ((120, 160), (480, 640))


def test_memory_goes_to_the_gpu_and_back_in_any_thread(driver: CudaDriver) -> None:
    session = Session(driver)
    errors: list[int] = []

    def work() -> None:
        with session.current():
            there, back = session.stage(1 << 20), session.stage(1 << 20)
            there.host.array[:] = np.arange(1 << 20) % 251
            there.to_device(1 << 20)
            driver.copy_to_host(back.host, there.device, 1 << 20, session.stream)
            session.finish()
            errors.append(int((back.host.array != there.host.array).sum()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    session.close()
    assert errors == [0, 0, 0]


@pytest.fixture(scope="module")
def built(gpu: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Bundle:  # noqa: ARG001
    """The trained bundle with FP16 plans for up to four frames, and for two camera formats."""
    choice = EngineChoice("tensorrt", False, BuildOptions((1, 2, 4)))
    try:
        builder = prepare_engines("fp16", choice)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    source = Bundle.open(request.getfixturevalue("trained"))
    files = {name: source.read(name) for name in source.manifest.files}
    path = tmp_path_factory.mktemp("gpu") / "model.csflow"
    bundle = Bundle.create(path, source.manifest, files).update(make_graphs(source, ("fp16",)))
    write_resizes(bundle, FORMATS, "fp16")
    bundle = Bundle.open(path)
    export_engines(bundle, "fp16", choice, builder, quiet=True)
    return bundle


def test_the_engine_agrees_with_the_model(gpu: None, built: Bundle) -> None:  # noqa: ARG001 - skips first
    with open_engine(built, "tensorrt") as engine, load_engine(built, "openvino-fp32") as reference:
        golden = [frame for frame, _ in load_golden(built)]
        expected = [p.score for p in reference.infer(golden)]
        for count in (1, 2, 3, 4, 1):
            got = engine.infer(golden[:count] * (4 // count))
            assert [p.score for p in got] == pytest.approx((expected[:count] * (4 // count)), rel=0.02)


def test_graphs_of_every_batch_size_give_what_plain_enqueueing_gives(driver: CudaDriver, built: Bundle) -> None:
    frames = [frame for frame, _ in load_golden(built)] * 4
    with TensorRTEngine(built, driver=driver) as engine:
        assert ("no CUDA graphs" in engine.describe()) is bool(driver.no_capture)
        assert engine.batch == 4
        sizes = (1, 2, 1, 3, 4, 2, 3, 1)
        graphs = [engine.infer(frames[:size]) for size in sizes]
        with engine._session.current():
            engine._graphs.refuse("to compare")
        plain = [engine.infer(frames[:size]) for size in sizes]
    for given, expected in zip(graphs, plain, strict=True):
        assert [p.score for p in given] == pytest.approx([p.score for p in expected], rel=2e-3)


def test_the_gpu_resizes_within_one_grey_level(driver: CudaDriver, built: Bundle) -> None:
    how = built.manifest.preprocessing
    with TensorRTEngine(built, driver=driver) as engine:
        assert engine.host_resize == {}
        for height, width in FORMATS:
            picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
            assert engine.takes(picture)
            difference = np.abs(engine.resize(picture).astype(np.int16) - preprocess(picture, how))
            assert difference.max() <= 1


def test_opening_and_closing_leaves_no_gpu_memory_behind(driver: CudaDriver, built: Bundle) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA here to ask for free memory")
    TensorRTEngine(built, driver=driver).close()
    before = torch.cuda.mem_get_info()[0]
    for _ in range(5):
        TensorRTEngine(built, driver=driver).close()
    assert before - torch.cuda.mem_get_info()[0] < 32 << 20


def test_a_closed_engine_gives_nothing(driver: CudaDriver, built: Bundle) -> None:
    engine = TensorRTEngine(built, driver=driver)
    engine.close()
    with pytest.raises(InferenceError, match="closed"):
        engine.infer([Frame(np.zeros((1, 1, 3), np.uint8))])


def test_a_bundle_without_plans_is_refused(gpu: None, built: Bundle, tmp_path: Path) -> None:  # noqa: ARG001
    copy = tmp_path / "copy.csflow"
    Bundle.create(copy, built.manifest, {name: built.read(name) for name in built.manifest.files})
    with pytest.raises(EngineError, match="is missing, so nothing says"):
        load_engine(Bundle.open(copy), "tensorrt")
