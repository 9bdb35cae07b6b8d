"""libcsflow and csflow.runtime with OpenVINO: the same numbers, int8 too, and what is refused in words."""

from __future__ import annotations

import ctypes
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, load_golden, write_golden
from csflow.runtime.detector import Detector
from csflow.runtime.errors import EngineError

from .agreement import agree_on, pictures


@pytest.mark.mtd
@pytest.mark.parametrize("device", ["openvino-fp32", "openvino-bf16"])
def test_openvino_gives_the_same_on_twenty_mtd_pictures(
    calibrated: Path, openvino: Any, picture: Any, binding: ModuleType, device: str
) -> None:
    try:
        Detector.open(calibrated, device).close()
    except EngineError:
        # bfloat16 comes near the gate's tolerance on this small model: what Python refuses, C refuses.
        assert device == "openvino-bf16"
        with pytest.raises(binding.LibraryError):
            openvino(calibrated, device)
        return
    with openvino(calibrated, device) as ours, Detector.open(calibrated, device) as theirs:
        assert ours.describe().engine.decode() == theirs.engine.name
        agree_on(pictures(20), ours, theirs, picture)
        assert ours.self_test().flips == 0


@pytest.mark.mtd
@pytest.mark.soak
def test_openvino_gives_the_same_on_two_hundred_mtd_pictures(calibrated: Path, openvino: Any, picture: Any) -> None:
    device = "openvino-fp32"
    with openvino(calibrated, device) as ours, Detector.open(calibrated, device) as theirs:
        agree_on(pictures(200), ours, theirs, picture)


@pytest.fixture
def int8(calibrated: Path, product_line: Path, with_record: Callable[..., Bundle]) -> Path:
    """`calibrated` with an INT8 flow, and golden frames as that scores them: on so small a model it is far off."""
    from csflow.export.gate.int8 import int8_file, int8_graph
    from csflow.runtime.engines.openvino.engine import OpenVINOEngine
    from csflow.toolkit.data.dataset import load_dataset

    bundle = Bundle.open(calibrated)
    bundle = bundle.update({int8_file(bundle): int8_graph(bundle, load_dataset(product_line, 128).train[:16])})
    frames = load_golden(bundle)
    with OpenVINOEngine(bundle, "int8") as engine:
        found = engine.infer([frame for frame, _ in frames])
    made = [GoldenFrame.of(old.file, old.label, new, old.cell) for (_, old), new in zip(frames, found, strict=True)]
    golden = write_golden([(frame.image, new) for (frame, _), new in zip(frames, made, strict=True)])
    return with_record(bundle.update(golden), "openvino-int8").path


def test_the_int8_flow_gives_the_same(
    int8: Path, product_line: Path, openvino: Any, picture: Any, binding: ModuleType, with_record: Any
) -> None:
    device = "openvino-int8"
    with openvino(int8, device) as ours, Detector.open(int8, device) as theirs:
        assert ours.describe().engine.decode() == theirs.engine.name == device
        assert ours.describe().distrust == b""
        files = sorted(product_line.glob("**/*.png"))[::9]
        agree_on([np.asarray(Image.open(file).convert("RGB")) for file in files], ours, theirs, picture)
    with_record(Bundle.open(int8), device, faults=("off",))
    with pytest.raises(binding.LibraryError, match="failed the decision gate: off") as caught:
        openvino(int8, device)
    assert caught.value.status == -107


def with_nan_in_dark_pictures(bundle: Bundle) -> Bundle:
    """The bundle with a first graph whose features are not numbers where a picture's mean lies below 20."""
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    file = "graphs/fp32/backbone.onnx"
    model = onnx.load_model_from_string(bundle.read(file))
    add, make = model.graph.node.append, onnx.helper.make_node
    for name, value in (("darkest", -20.0), ("little", 1e-20)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    add(make("Cast", ["frame"], ["as_float"], to=1))
    add(make("ReduceMean", ["as_float"], ["mean"], keepdims=0))
    add(make("Add", ["mean", "darkest"], ["above"]))
    add(make("Sqrt", ["above"], ["root"]))
    add(make("Mul", ["root", "little"], ["nothing"]))
    features = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["whole" if name == features else name for name in node.output]
        node.input[:] = ["whole" if name == features else name for name in node.input]
    add(make("Add", ["whole", "nothing"], [features]))
    return bundle.update({file: model.SerializeToString()})


def test_features_that_are_no_numbers_are_an_error(
    calibrated: Path, openvino: Any, picture: Any, with_record: Any
) -> None:
    device = "openvino-fp32"
    with_record(with_nan_in_dark_pictures(Bundle.open(calibrated)), device)
    bright, dark = (np.full((128, 128, 3), level, np.uint8) for level in (90, 5))
    with openvino(calibrated, device) as detector:
        before = detector.detect(picture(bright, "RGB8"))
        lost = detector.detect(picture(dark, "RGB8"))
        assert (lost.verdict, lost.verdict_code, lost.reason, lost.status) == (4, 0xC3C3, 207, 0)
        assert math.isnan(lost.score)
        assert all(math.isnan(value) for value in detector.anomaly_map()[2])
        assert detector.detect(picture(bright, "RGB8")).score == before.score > 0


def test_a_bundle_without_an_int8_flow_says_what_makes_it(calibrated: Path, openvino: Any, binding: ModuleType) -> None:
    with pytest.raises(binding.LibraryError, match="csflow export --int8") as caught:
        openvino(calibrated, "openvino-int8")
    assert caught.value.status == -4


class _SignalStack(ctypes.Structure):
    """stack_t of signal.h."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def test_openvino_leaves_the_hosts_signal_stack_alone(calibrated: Path, openvino: Any) -> None:
    def signal_stack() -> tuple[int | None, int]:
        held = _SignalStack()
        assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(held)) == 0
        return held.pointer, held.flags

    before = signal_stack()
    detectors = [openvino(calibrated, "openvino-fp32") for _ in range(2)]
    assert signal_stack() == before
    for detector in detectors:
        detector.close()
        assert signal_stack() == before


def test_a_missing_back_end_is_named(
    calibrated: Path, library: ctypes.CDLL, binding: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(binding.LibraryError, match=r"OpenVINO cannot be loaded .*pip install openvino") as caught:
        binding.Detector(library, str(calibrated), library=str(tmp_path / "none.so").encode())
    assert caught.value.status == -8
    with pytest.raises(binding.LibraryError, match="no device 'gpu'") as caught:
        binding.Detector(library, str(calibrated), device=b"gpu")
    assert caught.value.status == -1


def test_a_damaged_graph_is_found_before_it_is_parsed(calibrated: Path, binding: ModuleType, openvino: Any) -> None:
    graph = calibrated / "graphs" / "fp32" / "flow.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.unlink()  # other tests read the same file
    graph.write_bytes(data)
    with pytest.raises(binding.LibraryError, match="SHA-256 differs") as caught:
        openvino(calibrated, "openvino-fp32")
    assert caught.value.status == -6


def test_what_is_compiled_lies_where_python_looks_for_it(
    calibrated: Path, openvino: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path))
    Detector.open(calibrated, "openvino-fp32").close()
    theirs = {blob: blob.stat().st_mtime_ns for blob in tmp_path.rglob("*.blob")}
    with openvino(calibrated, "openvino-fp32", cache=str(tmp_path / "openvino").encode()):
        ours = {blob: blob.stat().st_mtime_ns for blob in tmp_path.rglob("*.blob")}
    assert len({blob.parent for blob in theirs}) == len({blob.parent for blob in ours}) == 2
    assert theirs.items() <= ours.items()


def test_what_was_damaged_in_the_cache_is_compiled_again(calibrated: Path, openvino: Any, tmp_path: Path) -> None:
    cache, device = tmp_path / "compiled", "openvino-fp32"

    def errors() -> tuple[float, float]:
        with openvino(calibrated, device, cache=str(cache).encode()) as detector:
            found = detector.self_test()
        return found.score_error, found.map_error

    sound = errors()
    blobs = {blob: blob.read_bytes() for blob in cache.rglob("*.blob")}
    assert len(blobs) == 2
    for blob, data in blobs.items():
        blob.write_bytes(data[: len(data) // 2] + bytes(4096) + data[len(data) // 2 + 4096 :])
    assert errors() == sound
    seals = [(blob, blob.with_name(f"{blob.name}.sha256")) for blob in cache.rglob("*.blob")]
    assert all(hashlib.sha256(b.read_bytes()).hexdigest() + f"  {b.name}\n" == s.read_text() for b, s in seals)
    times = [blob.stat().st_mtime_ns for blob, _ in seals]
    assert errors() == sound
    assert [blob.stat().st_mtime_ns for blob, _ in seals] == times, "what is sound stays"
    (*_, (blob, seal)) = seals
    seal.unlink()
    assert errors() == sound
    assert seal.exists()
    assert blob.exists()
