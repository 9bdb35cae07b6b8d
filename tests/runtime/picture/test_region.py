"""Region of interest and ignored areas: what the model sees, and that they belong to its identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import IGNORED_RGB, MAX_IGNORED, Definitions, Manifest, Preprocessing
from csflow.runtime.cli.pictures.roi import roi
from csflow.runtime.errors import CalibrationError, ConfigError, SourceError
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.picture.region import (
    Region,
    load_region,
    rectangles_of,
    rectangles_to_cover,
    region_picture,
    save_region,
)

RNG = np.random.default_rng(2)
SCENE = RNG.integers(0, 255, (60, 80, 3)).astype(np.uint8)
BOXES = ((10, 5, 20, 10), (40, 30, 8, 8))


def repainted(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    other = image.copy()
    for x, y, w, h in BOXES:
        other[y : y + h, x : x + w] = RNG.integers(0, 255, (h, w, 3))
    return other


@pytest.mark.parametrize("area", [None, (5, 2, 50, 40)])
def test_nothing_inside_an_ignored_area_has_any_influence(area: tuple[int, int, int, int] | None) -> None:
    how = Preprocessing(64, area, ignore=BOXES)
    before = SCENE.copy()
    np.testing.assert_array_equal(preprocess(SCENE, how), preprocess(repainted(SCENE), how))
    np.testing.assert_array_equal(SCENE, before)
    assert (preprocess(SCENE, how) != preprocess(SCENE, Preprocessing(64, area))).any()


def test_an_ignored_area_is_painted_in_one_colour_and_the_rest_is_as_it_was() -> None:
    how = Preprocessing(64, (0, 0, 64, 60), ignore=((0, 0, 32, 60),))
    prepared = preprocess(SCENE, how)
    assert (prepared[:, :30] == IGNORED_RGB).all()
    np.testing.assert_array_equal(prepared[:, 34:], preprocess(SCENE, Preprocessing(64, (0, 0, 64, 60)))[:, 34:])


def test_an_area_outside_the_picture_is_an_error_not_another_area() -> None:
    with pytest.raises(SourceError, match="ignored rectangle x=70 y=0 20x10 leaves the image of 80x60"):
        preprocess(SCENE, Preprocessing(64, ignore=((70, 0, 20, 10),)))


def test_bundles_without_areas_keep_their_manifest() -> None:
    assert b"ignore" not in Manifest(Preprocessing(64), Definitions(), {}, {}, {}).to_bytes()


def test_thresholds_of_another_area_are_refused(calibrated_bundle: Bundle) -> None:
    assert load_calibration(calibrated_bundle) is not None
    manifest = calibrated_bundle.manifest
    other = dataclasses.replace(manifest, preprocessing=Preprocessing(64, ignore=BOXES))
    read = Manifest.from_bytes(other.to_bytes(), "manifest.json")
    assert read.preprocessing.ignore == BOXES
    with pytest.raises(CalibrationError, match="belongs to another model"):
        load_calibration(Bundle(calibrated_bundle.path, read))


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_the_rectangles_cover_exactly_the_mask(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> None:
    covered = np.zeros(mask.shape, dtype=int)
    for x, y, w, h in rectangles_to_cover(mask):
        covered[y : y + h, x : x + w] += 1
    np.testing.assert_array_equal(covered, mask.astype(int))


def test_a_mask_that_ignores_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="ignores nothing: black is ignored"):
        rectangles_of(np.zeros((8, 8), np.bool_))


def test_a_mask_too_fine_is_refused_before_it_is_in_a_bundle() -> None:
    board = np.indices((2 * MAX_IGNORED // 40, 80)).sum(axis=0) % 2 == 0
    with pytest.raises(ConfigError, match=f"a bundle takes {MAX_IGNORED}"):
        rectangles_of(board)


def test_a_region_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    save_region(Region((1, 2, 30, 40), BOXES), tmp_path / "region.json")
    assert load_region(tmp_path / "region.json") == Region((1, 2, 30, 40), BOXES)


@pytest.mark.parametrize("content", [b"", b"{", b'{"roi": [0, 0, 0, 0]}', b'{"rio": null}', b'{"ignore": [[1, 2]]}'])
def test_a_damaged_region_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "region.json").write_bytes(content)
    with pytest.raises(ConfigError, match="csflow roi --save"):
        load_region(tmp_path / "region.json")


def test_the_picture_shows_what_is_seen_and_dims_the_rest() -> None:
    shown = region_picture(SCENE, Region((20, 10, 40, 30), ((30, 20, 5, 5),)))
    np.testing.assert_array_equal(shown[10:20, 20:60], SCENE[10:20, 20:60])
    assert (shown[20:25, 30:35] == IGNORED_RGB).all()
    assert shown[:5].max() <= 64
    with pytest.raises(ConfigError, match="leaves the picture of 80x60"):
        region_picture(SCENE, Region((60, 0, 40, 30)))


# The command


def call(*arguments: object) -> Result:
    return CliRunner().invoke(roi, [str(a) for a in arguments])


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(SCENE).save(path)
    return path


def test_boxes_and_a_mask_become_a_region_and_a_picture(scene: Path, tmp_path: Path) -> None:
    mask = np.full((60, 80), 255, np.uint8)
    mask[40:50, 60:70] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    output, saved = tmp_path / "seen.png", tmp_path / "region.json"
    options = ("--roi", "5,5,70,50", "--ignore", "10,10,4,4", "--mask", tmp_path / "mask.png")
    result = call(scene, *options, "-o", output, "--save", saved)
    assert result.exit_code == 0
    assert "ignored  2 rectangles, 116 px (2.4% of the picture)" in result.stdout
    region = load_region(saved)
    assert region == Region((5, 5, 70, 50), ((10, 10, 4, 4), (60, 40, 10, 10)))
    np.testing.assert_array_equal(np.asarray(Image.open(output)), region_picture(SCENE, region))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.png", "region.json", "scene.png", "seen.png"]


def test_a_camera_can_be_looked_at(tmp_path: Path) -> None:
    result = call("synthetic://?size=96x64", "-o", tmp_path / "seen.jpg")
    assert result.exit_code == 0
    assert "picture  96x64 px" in result.stdout


def test_the_region_of_a_bundle_is_shown_and_not_changed(scene: Path, calibrated_bundle: Bundle) -> None:
    assert "x=0 y=0 80x60 px" in call(scene, "--bundle", calibrated_bundle.path).stdout
    refused = call(scene, "--bundle", calibrated_bundle.path, "--roi", "1,1,5,5")
    assert refused.exit_code == 2
    assert "train again" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--roi", "1,2,3"), "is no box"),
        (("--roi", "1,2,0,4"), "width, height >= 1"),
        (("--roi", "50,0,40,40"), "leaves the picture"),
        (("-o", "seen.txt"), "name it .png"),
        (("--mask", "nowhere.png"), "nowhere.png"),
    ],
)
def test_a_wrong_region_is_one_line(arguments: tuple[str, ...], words: str, scene: Path) -> None:
    result = call(scene, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_mask_of_another_size_is_refused(scene: Path, tmp_path: Path) -> None:
    Image.new("L", (80, 61)).save(tmp_path / "mask.png")
    assert "make it of the picture's size" in call(scene, "--mask", tmp_path / "mask.png").stderr


def test_what_is_looked_at_of_a_mask_is_the_region_without_what_is_ignored() -> None:
    mask = np.ones((8, 10), dtype=np.bool_)
    found = Region((2, 1, 6, 5), ((0, 0, 4, 3),)).looked_at(mask)
    assert found.shape == (5, 6)
    assert not found[:2, :2].any()
    assert found.sum() == 26
    assert mask.all()
