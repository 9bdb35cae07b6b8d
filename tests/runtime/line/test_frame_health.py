"""Whether a frame shows the part at all, measured against what the training pictures look like."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageFilter

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.pictures import CALIBRATION_PICTURES, PictureSizes
from csflow.runtime.line.frame_health import (
    CameraHealth,
    HealthLimits,
    HealthReference,
    Look,
    PictureHealth,
    SizeHealth,
    reference_of,
)
from csflow.runtime.line.judge import Case, Judge
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame, Prediction, Verdict

from .playing import detector

Picture = NDArray[np.uint8]


def part(index: int, defects: float = 0.0) -> Picture:
    return part_at(3, index, defects, (256, 256)).image


def blurred(image: Picture, radius: float) -> Picture:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def fault(found: tuple[str, str] | None) -> str:
    return "" if found is None else found[0]


@pytest.fixture(scope="module")
def health() -> PictureHealth:
    return PictureHealth(HealthLimits(), HealthReference.of([part(i) for i in range(4)]))


def test_good_and_defective_parts_are_pictures(health: PictureHealth) -> None:
    assert [fault(health.problem(part(i, defects))) for i in range(10, 30) for defects in (0.0, 1.0)] == [""] * 40


@pytest.mark.parametrize(("level", "name"), [(0, "black"), (8, "black"), (252, "saturated"), (255, "saturated")])
def test_a_covered_lens_and_a_blinded_sensor_are_named(level: int, name: str, health: PictureHealth) -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (256, 256, 3))
    image = np.clip(level + noise, 0, 255).astype(np.uint8)
    assert fault(health.problem(image)) == name
    assert fault(PictureHealth(HealthLimits(), HealthReference()).problem(image)) == name


def test_a_dark_product_is_no_dark_picture() -> None:
    dark = part(0) // 4
    dark[:, 60:] = 5
    learned = PictureHealth(HealthLimits(), HealthReference.of([dark]))
    assert learned.problem(dark) is None
    assert fault(learned.problem(np.full_like(dark, 5))) == "black"


def test_a_picture_out_of_focus_is_blurred_and_one_a_little_soft_is_not(health: PictureHealth) -> None:
    assert health.problem(blurred(part(9), 1.0)) is None
    assert fault(health.problem(blurred(part(9), 6.0))) == "blurred"


def test_motion_in_one_direction_is_blur(health: PictureHealth) -> None:
    image = part(9)
    moved = np.mean([np.roll(image, shift, axis=1) for shift in range(24)], axis=0).astype(np.uint8)
    found = health.problem(moved)
    assert fault(found) == "blurred"
    assert found is not None
    assert "along its rows" in found[1]


def test_of_several_good_pictures_the_darkest_the_whitest_and_the_least_sharp_count() -> None:
    dark, white, soft = part(0).copy(), part(1).copy(), blurred(part(2), 2.0)
    dark[:64], white[:32] = 0, 255
    alone = [HealthReference.of([image]) for image in (soft, dark, white)]
    assert alone[1].dark_share > max(alone[0].dark_share, alone[2].dark_share)
    assert alone[2].white_share > max(alone[0].white_share, alone[1].white_share)
    assert all(s < t for other in alone[1:] for s, t in zip(alone[0].sharpness, other.sharpness, strict=True))
    expected = HealthReference(alone[1].dark_share, alone[2].white_share, alone[0].sharpness)
    assert HealthReference.of([dark, soft, white]) == expected
    look = Look()
    for image in (dark, soft, white):
        look.add(image)
    seen = look.record(PictureSizes.of([(256, 256)]))
    assert (seen.dark_share, seen.white_share, seen.sharpness) == dataclasses.astuple(expected)


def test_without_training_pictures_sharpness_is_not_judged() -> None:
    assert PictureHealth(HealthLimits(), HealthReference()).problem(np.full((64, 64, 3), 99, np.uint8)) is None


def test_zero_switches_each_check_off() -> None:
    off = HealthLimits(max_age_s=0, frozen=0, exposure=0, blur=0)
    picture = PictureHealth(off, HealthReference.of([part(0)]))
    assert picture.problem(np.zeros((256, 256, 3), np.uint8)) is None
    camera = CameraHealth(off, live=True)
    assert [camera.problem(Frame(part(0), i, i + 1), 1e6) for i in range(30)] == [None] * 30


def test_the_reference_is_measured_from_the_golden_good_frames_of_the_bundle(calibrated_bundle: Bundle) -> None:
    assert reference_of(detector(calibrated_bundle)) == HealthReference()
    flat = np.full((64, 64, 3), 40, np.uint8)
    sharp = np.random.default_rng(1).integers(20, 200, (64, 64, 3)).astype(np.uint8)
    empty = Prediction(1.0, np.ones((2, 2), np.float32))
    files = write_golden(
        [(sharp, GoldenFrame.of("0.png", "good", empty)), (flat, GoldenFrame.of("1.png", "scratch", empty))]
    )
    assert reference_of(detector(calibrated_bundle.update(files))) == HealthReference.of([sharp])


def test_an_import_is_judged_by_its_calibration_pictures_and_until_then_not_at_all(calibrated_bundle: Bundle) -> None:
    plate = part(0)
    empty = Prediction(1.0, np.ones((2, 2), np.float32))
    files = write_golden([(plate[:64, :64], GoldenFrame.of("0.png", "good", empty))])
    updated = calibrated_bundle.update(files)
    imported = Bundle(updated.path, replace(updated.manifest, provenance={"imported": {}}))
    assert not reference_of(detector(imported)).measured
    look = Look()
    for index in range(3):
        look.add(blurred(part(index), 6.0))
    record = schema.to_mapping(look.record(PictureSizes.of([(256, 256)])))
    known = reference_of(detector(imported.update({CALIBRATION_PICTURES: schema.dump_json(record)})))
    assert known.measured
    # The product is smooth: sharp for it is blurred for a plate.
    assert fault(PictureHealth(HealthLimits(), HealthReference.of([plate])).problem(blurred(part(4), 6.0))) == "blurred"
    assert PictureHealth(HealthLimits(), known).problem(blurred(part(4), 6.0)) is None
    assert fault(PictureHealth(HealthLimits(), known).problem(blurred(part(4), 60.0))) == "blurred"


# The size of pictures, for every source


def sized(bundle: Bundle, *sizes: tuple[int, int], **how: Any) -> Bundle:
    pictures = schema.to_mapping(PictureSizes.of(sizes))
    manifest = replace(bundle.manifest, provenance={"training": {"pictures": pictures}})
    return Bundle(bundle.path, replace(manifest, preprocessing=replace(manifest.preprocessing, **how)))


def size_faults(bundle: Bundle, *sizes: tuple[int, int], limits: HealthLimits | None = None) -> list[str]:
    judge = SizeHealth(limits or HealthLimits(), bundle)
    return [fault(judge.problem("0", Frame(np.zeros((h, w, 3), np.uint8)))) for w, h in sizes]


def test_pictures_of_another_aspect_or_far_smaller_are_refused(calibrated_bundle: Bundle) -> None:
    square = sized(calibrated_bundle, (256, 256))
    sizes = ((256, 256), (640, 480), (480, 640), (512, 512), (258, 256), (127, 127), (128, 128))
    assert size_faults(square, *sizes) == ["", "size", "size", "", "", "size", ""]
    assert size_faults(square, (640, 480), limits=HealthLimits(size=False)) == [""]
    assert size_faults(calibrated_bundle, (640, 480)) == [""]
    varied = sized(calibrated_bundle, (100, 100), (300, 200))
    assert size_faults(varied, (200, 150), (400, 380), (300, 100), (40, 30)) == ["", "", "size", "size"]


@pytest.mark.parametrize("how", [{"roi": (10, 10, 50, 50)}, {"ignore": ((0, 0, 9, 9),)}])
def test_a_region_in_pixels_needs_pictures_of_the_very_size(calibrated_bundle: Bundle, how: dict[str, Any]) -> None:
    regional = sized(calibrated_bundle, (256, 256), **how)
    assert size_faults(regional, (256, 256), (512, 512), (200, 200)) == ["", "size", "size"]


def test_another_size_of_the_same_aspect_is_told_once_a_camera(
    calibrated_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    assert size_faults(sized(calibrated_bundle, (256, 256)), (300, 300), (300, 300), (256, 256)) == ["", "", ""]
    assert [r.getMessage()[:31] for r in caplog.records] == ["0 gives pictures of 300x300 pix"]


@pytest.mark.parametrize("limits", [HealthLimits(), HealthLimits(size=False)])
def test_pictures_far_from_square_are_told_once_a_camera(
    limits: HealthLimits, calibrated_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    assert size_faults(calibrated_bundle, (500, 200), (500, 200), (64, 64), limits=limits) == ["", "", ""]
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("0: pictures of 500x200 pixels are squeezed into a square")
    assert "tiles" in said


@pytest.mark.parametrize("live", [True, False])
def test_the_line_refuses_a_picture_of_another_aspect_whatever_its_source(
    calibrated_bundle: Bundle, live: bool
) -> None:
    square = sized(calibrated_bundle, (64, 64))
    wide = np.random.default_rng(2).integers(40, 60, (48, 64, 3)).astype(np.uint8)
    for limits, verdict in ((HealthLimits(), Verdict.ERROR), (HealthLimits(size=False), Verdict.OK)):
        judge = Judge(detector(square), limits)
        ((_, result),) = judge.results([Case(Frame(wide), "camera", live)])
        assert (result.verdict, result.fault) == (verdict, "size" if verdict is Verdict.ERROR else "")


# One camera's frames in their order


def frames(count: int, image: Picture | None = None) -> list[Frame]:
    return [Frame(part(i) if image is None else image, i, i + 1) for i in range(count)]


def test_an_old_frame_is_stale_and_so_is_one_no_newer_than_the_last() -> None:
    camera = CameraHealth(HealthLimits(max_age_s=2.0), live=True)
    assert fault(camera.problem(Frame(part(0), 0, 10), 2.5)) == "stale"
    assert camera.problem(Frame(part(1), 1, 11), 0.1) is None
    assert fault(camera.problem(Frame(part(2), 2, 11), 0.1)) == "stale"
    assert camera.problem(Frame(part(3), 3, 12), 0.1) is None


def test_the_same_bytes_again_and_again_are_a_frozen_camera_until_they_change() -> None:
    camera = CameraHealth(HealthLimits(frozen=3), live=True)
    same = [fault(camera.problem(frame, 0.0)) for frame in frames(5, part(0))]
    assert same == ["", "", "frozen", "frozen", "frozen"]
    assert camera.problem(Frame(part(1), 5, 99), 0.0) is None


def test_one_changed_pixel_is_no_frozen_camera() -> None:
    camera = CameraHealth(HealthLimits(frozen=2), live=True)
    other = part(0).copy()
    other[7, 7, 1] ^= 1
    assert camera.problem(Frame(part(0), 0, 1), 0.0) is None
    assert camera.problem(Frame(other, 1, 2), 0.0) is None


def test_another_size_is_refused_until_the_first_is_back() -> None:
    camera = CameraHealth(HealthLimits(), live=True)
    sizes = [part(0), part(1)[:128], part(2)]
    found = [camera.problem(Frame(image, i, i + 1), 0.0) for i, image in enumerate(sizes)]
    assert [fault(f) for f in found] == ["", "size", ""]
    assert found[1] is not None
    assert "256x128 pixels, the camera began with 256x256" in found[1][1]


def test_a_jpeg_that_was_cut_off_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    buffer = io.BytesIO()
    Image.fromarray(part(0)).save(buffer, "JPEG", quality=90)
    for share in (0.3, 0.5, 0.8):
        data = buffer.getvalue()[: int(len(buffer.getvalue()) * share)]
        cut = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert fault(CameraHealth(HealthLimits(), live=True).problem(Frame(cut), 0.0)) == "truncated"


FILLINGS = {
    "grey": lambda image, row: np.full_like(image[row:], 128),
    "black": lambda image, row: np.zeros_like(image[row:]),
    "white": lambda image, row: np.full_like(image[row:], 255),
    "green": lambda image, row: np.full_like(image[row:], (0, 135, 0)),
    "the last row": lambda image, row: np.repeat(image[row - 1 : row], len(image) - row, axis=0),
}


@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize("row", [40, 128, 240])
def test_whatever_fills_the_missing_rows_of_a_picture_it_is_truncated(filling: str, row: int) -> None:
    cut = part(0).copy()
    cut[row:] = FILLINGS[filling](cut, row)
    # Within its last row of blocks a JPEG ends in the middle.
    cut[row - 16 : row, 100:] = cut[-1, 100:] if filling != "the last row" else cut[row - 16 : row, 100:]
    found = CameraHealth(HealthLimits(), live=True).problem(Frame(cut), 0.0)
    assert fault(found) == "truncated"


@pytest.mark.parametrize("level", [0, 255])
def test_a_part_before_a_black_or_white_background_is_no_cut_picture(level: int) -> None:
    image = np.full((256, 256, 3), level, np.uint8)
    image[20:200, 60:200] = part(0)[20:200, 60:200]
    empty = image.copy()
    empty[20:200, 80:200] = level
    for shown in (image, empty):
        assert CameraHealth(HealthLimits(), live=True).problem(Frame(shown), 0.0) is None


def test_files_are_not_judged_by_age_or_order() -> None:
    folder = CameraHealth(HealthLimits(), live=False)
    assert [folder.problem(frame, 1e6) for frame in frames(20, part(0))] == [None] * 20
