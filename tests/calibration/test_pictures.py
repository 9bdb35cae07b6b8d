"""Which pictures a calibration takes, and which it refuses by name."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from csflow.calibration.calibrate import calibrate
from csflow.calibration.pictures import TRAINING_IMAGES
from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import (
    CalibrationPictures,
    PictureSizes,
    calibration_pictures,
    picture_sizes,
)
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import BundleError, CalibrationError, ConfigError, DataError
from csflow.runtime.line.frame_health import HealthReference, reference_of

MakeBundle = Callable[..., Bundle]
MakeParts = Callable[..., Path]


def resized(folder: Path, name: str, size: tuple[int, int]) -> None:
    with Image.open(folder / name) as picture:
        picture.resize(size).save(folder / name)


@pytest.mark.parametrize("known", [True, False])
def test_a_picture_of_another_size_is_refused_before_any_is_scored(
    make_bundle: MakeBundle, make_parts: MakeParts, known: bool, unused: type[FakeEngine]
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    if known:
        pictures = schema.to_mapping(PictureSizes.of([(64, 64)]))
        manifest = replace(bundle.manifest, provenance={"training": {"pictures": pictures}})
        bundle = Bundle.create(bundle.path, manifest, {"weights/flow.safetensors": b"x"})
    for size in ((16, 12), (65, 64), (32, 32)):
        resized(folder, "130.png", size)
        with pytest.raises(DataError, match=rf"130\.png has {size[0]}x{size[1]} pixels, .* 64 x 64: .*--any-size"):
            calibrate(bundle, [folder], unused(bundle), 0.05)
    assert load_calibration(bundle) is None
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05, any_size=True)
    assert load_calibration(bundle) is not None


def test_pictures_whose_sizes_varied_in_training_may_vary_again(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    pictures = schema.to_mapping(PictureSizes.of([(64, 64), (90, 80), (60, 70)]))
    manifest = replace(bundle.manifest, provenance={"training": {"pictures": pictures}})
    bundle = Bundle.create(bundle.path, manifest, {"weights/flow.safetensors": b"x"})
    resized(folder, "130.png", (100, 90))
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    resized(folder, "130.png", (110, 40))
    with pytest.raises(DataError, match="the training had 60 to 90 x 64 to 80"):
        calibrate(bundle, [folder], FakeEngine(bundle), 0.05)


def test_pictures_from_the_training_are_refused_by_content(
    trained_bundle: Bundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    folder = make_parts("good", range(304, 370))
    (folder / "304.png").rename(folder / "other.png")
    with pytest.raises(CalibrationError, match=r"6 of 66 pictures were used in training \(305\.png, .* and 3 more\)"):
        calibrate(trained_bundle, [folder], unused(trained_bundle), rate=0.05)


def test_of_a_folder_that_training_parted_the_unseen_pictures_are_taken(
    trained_bundle: Bundle, make_parts: MakeParts
) -> None:
    manifest = trained_bundle.manifest
    parted = dataclasses.replace(manifest, provenance={**manifest.provenance, "training": {"set_aside": 60}})
    files = {TRAINING_IMAGES: trained_bundle.read(TRAINING_IMAGES)}
    bundle = Bundle.create(trained_bundle.path.with_name("parted"), parted, files)
    report = calibrate(bundle, [make_parts("all", range(304, 370))], FakeEngine(bundle), rate=0.05)
    assert (len(report.calibration.scores), report.left_out, report.training_checked) == (60, 6, True)


def test_new_pictures_pass_the_check_against_the_training(trained_bundle: Bundle, make_parts: MakeParts) -> None:
    folder = make_parts("good", range(400, 460))
    assert calibrate(trained_bundle, [folder], FakeEngine(trained_bundle), rate=0.05).training_checked


def test_a_bundle_without_training_list_says_that_nothing_was_checked(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle = make_bundle()
    assert not calibrate(bundle, [make_parts("good", range(3, 63))], FakeEngine(bundle), rate=0.05).training_checked


def test_a_malformed_training_list_is_refused(
    make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    bundle = make_bundle().update({TRAINING_IMAGES: b'{"images": []}'})
    with pytest.raises(BundleError, match=r"training_images\.json: images: unknown key"):
        calibrate(bundle, [make_parts("good", range(3, 63))], unused(bundle), rate=0.05)


def test_copies_are_refused(make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 63))
    shutil.copy(folder / "004.png", folder / "copy.png")
    with pytest.raises(CalibrationError, match=r"1 of 61 pictures are copies of others \(copy\.png\)"):
        calibrate(bundle, [folder], unused(bundle), rate=0.05)


def test_a_folder_of_folders_names_the_one_to_take(
    make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    bundle = make_bundle()
    make_parts("calibration/dent", range(3, 6))
    good = make_parts("calibration/good", range(3, 63))
    with pytest.raises(DataError, match=rf"\(dent, good\): name the ones with good parts, for example {good}"):
        calibrate(bundle, [good.parent], unused(bundle))
    good.rename(good.with_name("Serie A"))
    with pytest.raises(DataError, match=r"\(Serie A, dent\): name the ones with good parts$"):
        calibrate(bundle, [good.parent], unused(bundle))


def test_places_without_pictures_are_named(make_bundle: MakeBundle, tmp_path: Path, unused: type[FakeEngine]) -> None:
    bundle = make_bundle()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no pictures"):
        calibrate(bundle, [tmp_path / "empty"], unused(bundle))
    with pytest.raises(DataError, match="no pictures were named"):
        calibrate(bundle, [], unused(bundle))
    with pytest.raises(DataError, match="absent does not exist"):
        calibrate(bundle, [tmp_path / "absent"], unused(bundle), rate=0.9, confidence=0.5)


def test_a_picture_that_cannot_be_used_is_named(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    folder = make_parts("good", range(3, 63))
    roomy = make_bundle("roi.csflow", roi=(0, 0, 65, 64))
    with pytest.raises(DataError, match=r"003\.png: region of interest"):
        calibrate(roomy, [folder], FakeEngine(roomy), rate=0.05)
    (folder / "020.png").write_bytes(b"no picture")
    bundle = make_bundle()
    with pytest.raises(DataError, match=r"020\.png is not a picture"):
        calibrate(bundle, [folder], FakeEngine(bundle), rate=0.05)


def test_impossible_shares_are_refused(
    make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 63))
    with pytest.raises(ConfigError, match="the warn rate 1 % lies below the false-reject rate 5 %"):
        calibrate(bundle, [folder], unused(bundle), rate=0.05, warn_rate=0.01)
    with pytest.raises(ConfigError, match="false-reject rate must lie between 0 and 1"):
        calibrate(bundle, [folder], unused(bundle), rate=5)
    with pytest.raises(ConfigError, match="confidence must lie between 0 and 1"):
        calibrate(bundle, [folder], unused(bundle), rate=0.05, confidence=95)


def test_a_pipe_is_refused_and_not_waited_for(
    make_bundle: MakeBundle, make_parts: MakeParts, tmp_path: Path, unused: type[FakeEngine]
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    bundle = make_bundle()
    with pytest.raises(DataError, match=r"pipe\.png cannot be decoded: it is a folder, pipe"):
        calibrate(bundle, [make_parts("good", range(100, 400)), tmp_path / "pipe.png"], unused(bundle))


def test_an_older_bundle_learns_the_size_of_pictures_from_its_calibration_but_keeps_its_golden_frames(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    manifest = replace(bundle.manifest, provenance={"training": {"epochs": 3}})
    golden = {name: bundle.read(name) for name in bundle.manifest.files if name.startswith("golden/")}
    bundle = Bundle.create(bundle.path, manifest, {"weights/flow.safetensors": b"x", **golden})
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    opened = Bundle.open(bundle.path)
    assert picture_sizes(opened) == PictureSizes.of([(64, 64)])
    detector = Detector(opened, FakeEngine(opened), load_calibration(opened) or pytest.fail("no thresholds"))
    assert reference_of(detector) == HealthReference()


def test_without_a_training_the_calibration_tells_how_good_parts_look(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    assert picture_sizes(bundle) is None
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    seen = calibration_pictures(Bundle.open(bundle.path))
    assert seen == CalibrationPictures(PictureSizes.of([(64, 64)]), 0.0, 0.0, (0.0, 0.0))
    assert picture_sizes(Bundle.open(bundle.path)) == PictureSizes.of([(64, 64)])
    for number, name in enumerate(sorted(p.name for p in folder.iterdir())):
        resized(folder, name, (50 + number, 64))
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    assert picture_sizes(Bundle.open(bundle.path)) is None


def test_pictures_without_the_part_are_left_out_and_named(
    aligned_bundle: Bundle, moving_part: Callable[..., Image.Image], tmp_path: Path
) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    for i in range(11):
        moving_part(i - 5, 165 + i).save(folder / f"{i:02d}.png")
    moving_part(None).save(folder / "empty.png")
    engine = FakeEngine(aligned_bundle)
    report = calibrate(aligned_bundle, [folder], engine, 0.2, 0.9)
    assert report.not_found == (folder / "empty.png",)
    assert len(report.calibration.scores) == 11
    assert report.warnings[-1].startswith("the part was not found in 1 of these pictures (empty.png)")
    before = aligned_bundle.read_calibration()
    (folder / "00.png").unlink()
    with pytest.raises(CalibrationError, match=r"have 10: .*; the part was not found in 1 of .* \(empty\.png\)"):
        calibrate(aligned_bundle, [folder], engine, 0.2, 0.9)
    assert aligned_bundle.read_calibration() == before
