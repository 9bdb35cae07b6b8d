"""libcsflow and csflow.runtime on the same bundle: the same numbers, to the last bit."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, load_golden, write_golden
from csflow.runtime.detector import Detector
from csflow.runtime.errors import EngineError
from csflow.runtime.line.stream import run_stream
from csflow.runtime.picture.preprocess import prepare_file
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.source import open_source
from csflow.runtime.types import Frame, Result

MTD = Path(__file__).parents[2].parent / "shared" / "data" / "mtd"
FORMAT_1 = Path(__file__).parents[1] / "fixtures" / "format1"
CHANNELS = {"RGB8": 3, "BGR8": 3, "GRAY8": 1, "BGRX8": 4}
Array = NDArray[np.uint8]


def same(ours: Any, theirs: Result) -> bool:
    """Whether a csflow_result says what a Result says."""
    p_values = ours.p_value == theirs.p_value or (math.isnan(ours.p_value) and math.isnan(theirs.p_value))
    scores = ours.score == theirs.score or (math.isnan(ours.score) and math.isnan(theirs.score))
    codes = ours.verdict == theirs.verdict and ours.verdict_code == theirs.verdict.code
    peaks = (ours.peak_x, ours.peak_y) == theirs.peak_xy
    rest = ours.reject_threshold == theirs.threshold and bool(ours.verified) == theirs.verified
    return codes and scores and p_values and peaks and rest


@pytest.fixture
def fake(library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle) -> Iterator[Any]:
    """A libcsflow detector with the fake engine for pictures to 600 pixels."""
    options = {"device": b"fake", "max_width": 600, "max_height": 600}
    with binding.Detector(library, str(calibrated_bundle.path), **options) as detector:
        yield detector


@pytest.mark.parametrize("name", ["plain.csflow", "region.csflow"])
def test_bundles_of_format_1_decide_as_ever(
    name: str, library: ctypes.CDLL, binding: ModuleType, picture: Any, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(FORMAT_1 / name, tmp_path / name))
    identities = json.loads((FORMAT_1 / "identities.json").read_text())
    with (
        binding.Detector(library, str(path), device=b"fake") as ours,
        Detector.open(path, "fake") as theirs,
    ):
        about = ours.describe()
        assert (about.weights_sha256.decode(), about.method) == (identities[name], b"cs-flow")
        test = ours.self_test()
        assert (test.frames, test.flips) == (3, 0)
        assert test.score_error < 1e-6
        for frame, _ in load_golden(Bundle.open(path)):
            pixels = np.tile(frame.image, (5, 5, 1))
            assert same(ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels))


@pytest.mark.parametrize("format_", CHANNELS)
def test_every_format_and_odd_size(
    fake: Any, calibrated_bundle: Bundle, picture: Any, padded: Any, rgb_of: Any, format_: str
) -> None:
    draw = np.random.default_rng(len(format_))
    sizes = [(1, 1), (1, 600), (600, 1), (31, 33), (599, 2)]
    sizes += [(int(draw.integers(1, 600)), int(draw.integers(1, 600))) for _ in range(25)]
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        for height, width in sizes:
            pixels = padded(draw, height, width, CHANNELS[format_])
            assert same(fake.detect(picture(pixels, format_)), detector.detect(rgb_of(pixels, format_)))


def test_a_ramp_of_12_bits_is_the_same_in_a_file_at_the_line_and_in_c(
    calibrated_bundle: Bundle, library: ctypes.CDLL, binding: ModuleType, picture: Any, tmp_path: Path
) -> None:
    how = dataclasses.replace(calibrated_bundle.manifest.preprocessing, window=(200, 3900))
    files = {name: calibrated_bundle.read(name) for name in calibrated_bundle.manifest.files}
    manifest = dataclasses.replace(calibrated_bundle.manifest, preprocessing=how, files={})
    bundle = Bundle.create(tmp_path / "deep.csflow", manifest, files)
    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    mine = dataclasses.replace(calibration, weights_sha256=bundle.weights_sha256)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(mine)))
    ramp = np.random.default_rng(4).permutation(np.arange(1 << 12, dtype=np.uint16)).reshape(32, 128)
    for suffix in ("png", "tiff"):
        Image.fromarray(ramp).save(tmp_path / f"ramp.{suffix}")
    with (
        binding.Detector(library, str(bundle.path), device=b"fake") as ours,
        Detector.open(bundle.path, "fake") as theirs,
    ):
        result = theirs.detect(ramp)
        assert result.score > 0
        assert same(ours.detect(picture(ramp, "GRAY16")), result)
        prepared = [prepare_file(tmp_path / f"ramp.{suffix}", how) for suffix in ("png", "tiff")]
        assert all(theirs.engine.infer([Frame(image)])[0].score == result.score for image in prepared)
        memory = MemorySink()
        sources = [open_source(str(tmp_path / f"ramp.{suffix}")) for suffix in ("png", "tiff")]
        run_stream(sources, theirs, [memory])
        assert [r.score for r in memory.results] == [result.score] * 2


def test_a_region_of_interest(make_bundle: Any, library: ctypes.CDLL, binding: ModuleType, picture: Any) -> None:
    bundle = make_bundle(roi=(30, 20, 100, 50))
    scores = {"scores": (0.1, 0.2), "weights_sha256": bundle.weights_sha256, "backend": "x", "created_utc": "x"}
    calibration = Calibration(0.5, 0.4, 0.05, 0.95, 0.05, 0.1, **scores)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))
    pixels = np.random.default_rng(2).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    with (
        binding.Detector(library, str(bundle.path), device=b"fake") as ours,
        Detector.open(bundle.path, "fake") as theirs,
    ):
        result = theirs.detect(pixels)
        assert same(ours.detect(picture(pixels, "RGB8")), result)
        out = np.full((90, 203), -1.0, np.float32)
        assert library.csflow_render_map(ours.handle, out.ctypes.data, out.strides[0], 200, 90) == 0
        expected = Image.fromarray(result.anomaly_map).resize((100, 50), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(out[20:70, 30:130], np.asarray(expected))
        outside = out[:, :200].copy()
        outside[20:70, 30:130] = 0.0
        assert not outside.any()
        assert (out[:, 200:] == -1.0).all()


@pytest.mark.parametrize("ignore", [((3, 4, 50, 20),), ((0, 0, 9, 9), (100, 50, 100, 40))])
@pytest.mark.parametrize("roi", [None, (30, 20, 100, 50)])
def test_ignored_rectangles(
    make_bundle: Any, library: ctypes.CDLL, binding: ModuleType, picture: Any, roi: Any, ignore: Any
) -> None:
    bundle = make_bundle(roi=roi)
    how = dataclasses.replace(bundle.manifest.preprocessing, ignore=ignore)
    bundle = Bundle(bundle.path, dataclasses.replace(bundle.manifest, preprocessing=how)).update({})
    identity = {"weights_sha256": bundle.weights_sha256, "backend": "x", "created_utc": "x"}
    calibration = Calibration(0.5, 0.4, 0.05, 0.95, 0.05, 0.1, (0.1, 0.2), **identity)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))
    pixels = np.random.default_rng(2).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    with (
        binding.Detector(library, str(bundle.path), device=b"fake") as ours,
        Detector.open(bundle.path, "fake") as theirs,
    ):
        assert same(ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels))
    with pytest.raises(binding.LibraryError, match=r"(region|rectangle) .* leaves the largest picture"):
        binding.Detector(library, str(bundle.path), device=b"fake", max_width=8, max_height=80)


def test_verdict_and_p_value_at_the_thresholds(
    library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle, picture: Any
) -> None:
    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    scores = tuple(float(np.float32(level / 255)) for level in (90, 100, 100, 110))
    changed = dataclasses.replace(
        calibration, scores=scores, warn_threshold=scores[1], reject_threshold=float(np.float32(101 / 255))
    )
    calibrated_bundle.write_calibration(schema.dump_json(schema.to_mapping(changed)))
    with (
        binding.Detector(library, str(calibrated_bundle.path), device=b"fake") as ours,
        Detector.open(calibrated_bundle.path, "fake") as theirs,
    ):
        for level in (0, 1, 89, 90, 91, 99, 100, 101, 102, 110, 111, 255):
            pixels = np.full((9, 9, 3), level, np.uint8)
            assert same(ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels)), level


def test_the_description_is_the_bundles(fake: Any, calibrated_bundle: Bundle) -> None:
    about = fake.describe()
    assert about.weights_sha256.decode() == calibrated_bundle.weights_sha256
    body = schema.parse_json((calibrated_bundle.path / "manifest.json").read_bytes())
    assert about.bundle_sha256.decode() == body["manifest_sha256"]
    assert (about.recipe, about.engine, about.image_size) == (b"model", b"fake", 64)


def pictures(count: int) -> list[Array]:
    if not MTD.is_dir():
        pytest.skip("../shared/data/mtd is absent")
    files = sorted(MTD.glob("MT_*/**/*.jpg"))
    step = len(files) // count
    return [np.asarray(Image.open(file).convert("RGB")) for file in files[: step * count : step]]


def agree_on(seen: list[Array], ours: Any, theirs: Detector, picture: Callable[..., Any]) -> None:
    for pixels in seen:
        result = theirs.detect(pixels)
        assert same(ours.detect(picture(pixels, "RGB8")), result)
        height, width, values = ours.anomaly_map()
        np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), result.anomaly_map)


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
    graph.write_bytes(data)
    with pytest.raises(binding.LibraryError, match="SHA-256 differs") as caught:
        openvino(calibrated, "openvino-fp32")
    assert caught.value.status == -6
