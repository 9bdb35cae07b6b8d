"""libcsflow and csflow.runtime on the same bundle: the same numbers, to the last bit."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.detector import Detector
from csflow.runtime.line.stream import run_stream
from csflow.runtime.picture.preprocess import prepare_file
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.source import open_source
from csflow.runtime.types import Frame

from .agreement import same

FORMAT_1 = Path(__file__).parents[1] / "fixtures" / "format1"
CHANNELS = {"RGB8": 3, "BGR8": 3, "GRAY8": 1, "BGRX8": 4}


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
