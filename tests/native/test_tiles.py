"""libcsflow and csflow.runtime on pictures in tiles: the same tiles, scores, maps and refusals."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Manifest, canonical
from csflow.runtime.detector import Detector
from csflow.runtime.errors import BundleCorrupted, SourceError
from csflow.runtime.faults import reason_of
from csflow.runtime.types import Verdict

Both = Callable[..., tuple[Any, Detector]]


@pytest.fixture
def both(
    calibrated_bundle: Bundle, library: ctypes.CDLL, binding: ModuleType, tmp_path: Path
) -> Iterator[Callable[..., tuple[Any, Detector]]]:
    """`both(**preprocessing) -> (libcsflow's detector, csflow.runtime's)`, with the fake engine."""
    opened: list[Any] = []

    def make(**fields: Any) -> tuple[Any, Detector]:
        how = dataclasses.replace(calibrated_bundle.manifest.preprocessing, **fields)
        files = {name: calibrated_bundle.read(name) for name in calibrated_bundle.manifest.files}
        manifest = dataclasses.replace(calibrated_bundle.manifest, preprocessing=how, files={})
        bundle = Bundle.create(tmp_path / f"{len(opened)}.csflow", manifest, files)
        calibration = load_calibration(calibrated_bundle)
        assert calibration is not None
        mine = dataclasses.replace(calibration, weights_sha256=bundle.weights_sha256)
        bundle.write_calibration(schema.dump_json(schema.to_mapping(mine)))
        room = {"max_width": 9000, "max_height": 9000}
        ours = binding.Detector(library, str(bundle.path), device=b"fake", **room)
        pair = ours, Detector.open(bundle.path, "fake")
        opened.extend(pair)
        return pair

    yield make
    for detector in opened:
        detector.close()


def agree(ours: Any, theirs: Detector, image: Any, pixels: Any) -> None:
    got, expected = ours.detect(image), theirs.detect(pixels)
    assert (got.score, got.verdict) == (expected.score, expected.verdict)
    assert (got.peak_x, got.peak_y) == expected.peak_xy
    height, width, values = ours.anomaly_map()
    np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), expected.anomaly_map)


@pytest.mark.parametrize(
    "fields",
    [
        {"tiles": (64, 0)},
        {"tiles": (100, 33)},
        {"tiles": (64, 0), "looks": 8},
        {"tiles": (90, 20), "looks": 3, "roi": (13, 7, 230, 151)},
        {"tiles": (50, 25), "looks": 8},
        {"tiles": (50, 25), "looks": 8, "near": 64},
        {"tiles": (96, 24), "looks": 5, "near": 1},
        {"tiles": (37, 18), "roi": (31, 21, 200, 111)},
        {"tiles": (150, 1), "roi": (1, 2, 151, 150), "ignore": ((0, 0, 50, 40), (140, 100, 60, 60))},
    ],
)
def test_tiles_scores_and_maps_are_the_same(both: Both, picture: Any, padded: Any, rgb_of: Any, fields: Any) -> None:
    ours, theirs = both(**fields)
    draw = np.random.default_rng(1)
    assert ours.describe().weights_sha256.decode() == theirs.bundle.weights_sha256
    for format_, channels in (("RGB8", 3), ("BGRX8", 4), ("GRAY8", 1)):
        for height, width in ((180, 250), (400, 331), (163, 1000)):
            pixels = padded(draw, height, width, channels)
            agree(ours, theirs, picture(pixels, format_), rgb_of(pixels, format_))


@pytest.mark.parametrize("at", [0, 64, 128])
def test_a_tile_that_has_no_score_leaves_the_picture_without_in_both(both: Both, picture: Any, at: int) -> None:
    ours, theirs = both(tiles=(64, 0), looks=2)
    pixels = np.full((64, 192, 3), 100, np.uint8)
    pixels[:, at : at + 64] = 0
    got, expected = ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels)
    assert expected.verdict is Verdict.ERROR
    assert (got.verdict, got.reason) == (expected.verdict, reason_of(expected.verdict, expected.fault))
    assert math.isnan(got.score)
    assert math.isnan(expected.score)


def test_levels_of_deeper_pictures_are_mapped_tile_by_tile(both: Both, picture: Any) -> None:
    ours, theirs = both(tiles=(70, 20), window=(200, 3900))
    levels = np.random.default_rng(2).integers(0, 4096, (150, 210), dtype=np.uint16)
    agree(ours, theirs, picture(levels, "GRAY16"), levels)


def test_the_map_of_tiles_is_drawn_over_the_region(both: Both, picture: Any, library: ctypes.CDLL) -> None:
    ours, theirs = both(tiles=(64, 32), roi=(10, 20, 100, 80))
    pixels = np.random.default_rng(3).integers(0, 256, (120, 130, 3), dtype=np.uint8)
    agree(ours, theirs, picture(pixels, "RGB8"), pixels)
    out = np.zeros((120, 130), np.float32)
    assert library.csflow_render_map(ours.handle, out.ctypes.data, out.strides[0], 130, 120) == 0
    expected = Image.fromarray(theirs.detect(pixels).anomaly_map).resize((100, 80), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(out[20:100, 10:110], np.asarray(expected))


@pytest.mark.parametrize("size", [(63, 200), (200, 63), (64 * 129, 64 * 128)])
def test_pictures_without_room_for_a_tile_or_with_too_many_are_refused_in_the_same_words(
    both: Both, binding: ModuleType, size: tuple[int, int]
) -> None:
    ours, theirs = both(tiles=(64, 0))
    # Rows lie on one another: what is refused is never read.
    pixels = np.lib.stride_tricks.as_strided(np.zeros((1, size[0], 3), np.uint8), (size[1], size[0], 3), (0, 3, 1))
    with pytest.raises(SourceError) as told:
        theirs.detect(pixels)
    image = binding.Picture(
        format=binding.FORMATS["RGB8"], width=size[0], height=size[1], row_stride=3 * size[0], data=pixels.ctypes.data
    )
    with pytest.raises(binding.LibraryError, match=str(told.value)[:60]):
        binding.Detector.detect(ours, image)


@pytest.mark.parametrize("looks", [0, 9, 1.0, "1", None])
def test_what_are_no_looks_is_a_damaged_bundle_in_both(
    both: Both, library: ctypes.CDLL, binding: ModuleType, looks: Any
) -> None:
    _, theirs = both(tiles=(64, 8), looks=1)
    refused(theirs, library, binding, "looks", {"looks": looks})


@pytest.mark.parametrize("near", [0, 8, 257, 64.0, "64", None])
def test_what_is_not_near_is_a_damaged_bundle_in_both(
    both: Both, library: ctypes.CDLL, binding: ModuleType, near: Any
) -> None:
    _, theirs = both(tiles=(64, 8), looks=1)
    refused(theirs, library, binding, "near", {"near": near})


def test_near_is_of_looks(both: Both, library: ctypes.CDLL, binding: ModuleType) -> None:
    _, theirs = both(tiles=(64, 8))
    refused(theirs, library, binding, "near", {"near": 64})


def test_looks_are_those_of_tiles(both: Both, library: ctypes.CDLL, binding: ModuleType) -> None:
    _, theirs = both()
    refused(theirs, library, binding, "looks", {"looks": 1})


@pytest.mark.parametrize("tiles", [[64], [64, 33], [0, 0], [64, -1], [65536, 0], [64.0, 0], None, "64", {"side": 64}])
def test_what_are_no_tiles_is_a_damaged_bundle_in_both(
    both: Both, library: ctypes.CDLL, binding: ModuleType, tiles: Any
) -> None:
    _, theirs = both(tiles=(64, 8))
    refused(theirs, library, binding, "tiles", {"tiles": tiles})


def refused(theirs: Detector, library: ctypes.CDLL, binding: ModuleType, word: str, how: dict[str, Any]) -> None:
    """Neither opens a bundle with this in its preprocessing."""
    path = theirs.bundle.path / "manifest.json"
    body = schema.parse_json(path.read_bytes())
    body["preprocessing"] |= how
    del body["manifest_sha256"]
    sealed = {**body, "manifest_sha256": hashlib.sha256(canonical(body).encode()).hexdigest()}
    path.write_bytes(schema.dump_json(sealed))
    with pytest.raises(BundleCorrupted):
        Manifest.from_bytes(path.read_bytes(), "here")
    with pytest.raises(binding.LibraryError, match=word):
        binding.Detector(library, str(theirs.bundle.path), device=b"fake")
