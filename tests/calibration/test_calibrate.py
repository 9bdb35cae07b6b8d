"""From pictures of good parts to calibration.json, or to a refusal that says what is needed."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from csflow.calibration.calibrate import calibrate, choose_thresholds, outliers_of
from csflow.calibration.pictures import TRAINING_IMAGES, TRAINING_PIXELS, pixels_sha256
from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import (
    CalibrationPictures,
    PictureSizes,
    calibration_decoders,
    calibration_pictures,
    picture_sizes,
)
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import BundleError, CalibrationError, ConfigError, DataError
from csflow.runtime.line.frame_health import HealthReference, reference_of
from csflow.runtime.picture.origin import png_info
from csflow.runtime.types import Frame, Prediction, Verdict

MakeBundle = Callable[..., Bundle]
MakeParts = Callable[..., Path]


class Unused(FakeEngine):
    """An engine that no picture may reach."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        raise AssertionError(f"scored {frames[0].source}")


class Broken(FakeEngine):
    """An engine whose score or map is not finite for the picture 130.png."""

    broken = Prediction(math.nan, np.zeros((2, 2), np.float32))

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        return [self.broken] if frames[0].source.endswith("130.png") else super().infer(frames)


def test_thresholds_are_order_statistics_in_score_units(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 193))
    report = calibrate(bundle, [folder], FakeEngine(bundle), rate=0.05, warn_rate=0.1)
    made = report.calibration
    assert report.k == 2
    assert made.reject_threshold == pytest.approx(191 / 765, abs=1e-6)
    assert made.warn_threshold == pytest.approx(184 / 765, abs=1e-6)
    assert made.warn_rate == pytest.approx(9 / 94)
    assert made.bound <= 0.05
    assert (len(made.scores), made.backend, made.weights_sha256) == (93, "fake", bundle.weights_sha256)
    assert report.expected_reject_share == pytest.approx(2 / 94)


def resized(folder: Path, name: str, size: tuple[int, int]) -> None:
    with Image.open(folder / name) as picture:
        picture.resize(size).save(folder / name)


@pytest.mark.parametrize("known", [True, False])
def test_a_picture_of_another_size_is_refused_before_any_is_scored(
    make_bundle: MakeBundle, make_parts: MakeParts, known: bool
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    if known:
        pictures = schema.to_mapping(PictureSizes.of([(64, 64)]))
        manifest = replace(bundle.manifest, provenance={"training": {"pictures": pictures}})
        bundle = Bundle.create(bundle.path, manifest, {"weights/flow.safetensors": b"x"})
    for size in ((16, 12), (65, 64), (32, 32)):
        resized(folder, "130.png", size)
        with pytest.raises(DataError, match=rf"130\.png has {size[0]}x{size[1]} pixels, .* 64 x 64: .*--any-size"):
            calibrate(bundle, [folder], Unused(bundle), 0.05)
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


def test_equal_pixels_are_one_part_whatever_the_file_says_besides(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    with Image.open(folder / "120.png") as picture:
        note = PngImagePlugin.PngInfo()
        note.add_text("operator", "second shift")
        picture.save(folder / "130.png", pnginfo=note)
    assert (folder / "120.png").read_bytes() != (folder / "130.png").read_bytes()
    with pytest.raises(CalibrationError, match=r"1 of 60 pictures are copies of others \(130\.png\)"):
        calibrate(bundle, [folder], Unused(bundle), 0.05)
    listed = schema.dump_json({"pixels": [pixels_sha256(folder / "140.png")]})
    bundle = bundle.update({TRAINING_PIXELS: listed})
    with pytest.raises(CalibrationError, match=r"1 of 60 pictures were used in training \(140\.png\)"):
        calibrate(bundle, [folder], Unused(bundle), 0.05)


def test_a_picture_far_outside_of_the_others_ends_before_anything_is_written(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", [*range(100, 160), 700])
    with pytest.raises(CalibrationError, match=r"1 of 61 pictures lie far outside .*700\.png scores 0\.915") as caught:
        calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    assert "--keep-outliers" in str(caught.value)
    assert load_calibration(bundle) is None
    made = calibrate(bundle, [folder], FakeEngine(bundle), 0.05, keep_outliers=True).calibration
    assert made.reject_threshold == pytest.approx(700 / 765, abs=1e-6)


def test_scores_of_good_parts_have_no_outliers() -> None:
    draw = np.random.default_rng(5)
    found = sum(bool(outliers_of(list(np.exp(draw.normal(0.0, 0.5, 60))))) for _ in range(500))
    assert found <= 2
    assert outliers_of([1.0, 1.01, 1.02, 1.0, 1.01, 1.02, 1.0, 1.5]) == []
    assert outliers_of([1.0, 1.01, 1.02, 1.0, 1.01, 1.02, 1.0, 2.5]) == [7]
    assert outliers_of([1.0, 1.0, 9.0]) == []


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


def test_pictures_that_tell_by_what_they_were_decoded_are_remembered_as_long_as_all_do(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    for number, file in enumerate(sorted(folder.iterdir())):
        with Image.open(file) as picture:
            picture.save(file, pnginfo=png_info("OpenCV" if number % 2 else "Pillow"))
    calibrate(bundle, [folder], FakeEngine(bundle), 0.05)
    assert calibration_decoders(Bundle.open(bundle.path)) == ("OpenCV", "Pillow")
    with Image.open(folder / "130.png") as picture:
        pixels = picture.convert("RGB")
    pixels.save(folder / "130.png", pnginfo=PngImagePlugin.PngInfo())
    calibrate(Bundle.open(bundle.path), [folder], FakeEngine(bundle), 0.05)
    assert calibration_decoders(Bundle.open(bundle.path)) == ()


def test_the_bundle_takes_decisions_afterwards(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 159))
    report = calibrate(bundle, [folder], FakeEngine(bundle), rate=0.05, warn_rate=0.1)
    assert load_calibration(Bundle.open(bundle.path)) == report.calibration
    with Detector.open(bundle.path, backend="fake") as detector:
        verdicts = [detector.detect(Image.open(p)).verdict for p in sorted(folder.iterdir())]
        assert verdicts == [Verdict.OK] * 54 + [Verdict.UNCERTAIN] * 5
        assert detector.detect(Image.new("RGB", (64, 64), (60, 60, 60))).verdict is Verdict.NOK


def test_the_highest_scores_are_named_highest_first(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 159))
    highest = calibrate(bundle, [folder], FakeEngine(bundle), rate=0.05).highest
    assert [path for path, _ in highest] == [folder / f"{level}.png" for level in (158, 157, 156, 155, 154)]
    assert highest[0][1] == pytest.approx(158 / 765, abs=1e-6)


def test_folders_and_pictures_mix_and_a_picture_counts_once(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, monday, tuesday = make_bundle(), make_parts("mon", range(3, 43)), make_parts("tue", range(200, 230))
    steps: list[tuple[int, int]] = []
    paths = [monday, monday / "007.png", monday / ".." / "mon" / "008.png", *sorted(tuesday.iterdir())[:20]]
    report = calibrate(
        bundle, paths, FakeEngine(bundle), rate=0.05, progress=lambda done, total: steps.append((done, total))
    )
    assert len(report.calibration.scores) == 60
    assert steps == [(i, 60) for i in range(1, 61)]


@given(
    scores=st.lists(st.integers(0, 40).map(float), min_size=10, max_size=120),
    rate=st.floats(0.05, 0.5),
    confidence=st.floats(0.05, 0.99),
)
@settings(max_examples=100, deadline=None)
def test_thresholds_keep_their_order_and_their_counts(scores: list[float], rate: float, confidence: float) -> None:
    try:
        made = choose_thresholds(scores, rate, confidence)
    except CalibrationError:
        return
    assert made.warn <= made.reject
    assert sum(s > made.reject for s in scores) < made.k <= sum(s >= made.reject for s in scores)
    assert made.bound <= rate + 1e-9


def test_a_low_confidence_does_not_put_warn_above_reject() -> None:
    made = choose_thresholds([float(i) for i in range(20)], rate=0.1, confidence=0.05, warn_rate=0.1)
    assert made.k / 21 > 0.1
    assert made.warn == made.reject


@pytest.mark.parametrize(("rate", "warned"), [(0.01, 0.05), (0.05, 0.1), (0.2, 0.2)])
def test_the_usual_warn_rate_is_five_times_the_reject_rate_within_limits(rate: float, warned: float) -> None:
    scores = [float(i) for i in range(999)]
    assert choose_thresholds(scores, rate, 0.95).warn == 999 - round(1000 * warned)


def test_too_few_parts_are_refused_before_scoring_with_a_way_out(
    make_bundle: MakeBundle, make_parts: MakeParts
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 103))
    with pytest.raises(CalibrationError) as refusal:
        calibrate(bundle, [folder], Unused(bundle))
    assert str(refusal.value) == (
        "need 299 good parts for 1 % at 95 % confidence, have 100: the best bound these parts support "
        "is 2.95 %; bring more or pass --false-reject-rate 3%"
    )
    assert calibrate(bundle, [folder], FakeEngine(bundle), rate=0.03).calibration.bound <= 0.03


@pytest.mark.parametrize("n", [5, 20, 58, 77, 1000, 2994])
def test_the_rate_that_a_refusal_offers_is_accepted(n: int) -> None:
    scores = [float(i) for i in range(n)]
    with pytest.raises(CalibrationError) as refusal:
        choose_thresholds(scores, 0.0001, 0.95)
    offered = float(str(refusal.value).rpartition(" ")[2].rstrip("%")) / 100
    assert choose_thresholds(scores, offered, 0.95).bound <= offered


def test_hopelessly_few_parts_are_offered_no_rate() -> None:
    with pytest.raises(CalibrationError, match=r"have 2: the best bound these parts support is 77\.6 %; bring more$"):
        choose_thresholds([1.0, 2.0], 0.01, 0.95)
    with pytest.raises(CalibrationError, match="have none"):
        choose_thresholds([], 0.01, 0.95)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_no_threshold_rests_on_a_score_that_is_not_finite(wrong: float) -> None:
    with pytest.raises(CalibrationError, match="not finite"):
        choose_thresholds([wrong, *range(100)], 0.05, 0.95)


def test_more_parts_than_a_calibration_holds_are_refused() -> None:
    with pytest.raises(CalibrationError, match="100001 pictures are more than the 100000"):
        choose_thresholds(range(100_001), 0.01, 0.95)


def test_a_refusal_leaves_the_old_thresholds(calibrated_bundle: Bundle, make_parts: MakeParts) -> None:
    before = calibrated_bundle.read_calibration()
    with pytest.raises(CalibrationError):
        calibrate(calibrated_bundle, [make_parts("good", range(100, 160))], Broken(calibrated_bundle), rate=0.05)
    assert calibrated_bundle.read_calibration() == before


@pytest.mark.parametrize(
    "broken",
    [
        Prediction(math.nan, np.zeros((2, 2), np.float32)),
        Prediction(math.inf, np.zeros((2, 2), np.float32)),
        Prediction(0.5, np.full((2, 2), np.nan, np.float32)),
    ],
)
def test_a_score_or_map_that_is_not_finite_names_the_picture(
    make_bundle: MakeBundle, make_parts: MakeParts, broken: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "broken", broken)
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    with pytest.raises(CalibrationError, match=r"130\.png: engine 'fake' gave a score or map that is not finite"):
        calibrate(bundle, [folder], Broken(bundle), rate=0.05)
    assert bundle.read_calibration() is None


@pytest.mark.parametrize(
    "broken",
    [
        Prediction(0.0, np.zeros((2, 2), np.float32)),
        Prediction(-0.5, np.zeros((2, 2), np.float32)),
        Prediction(0.5, np.full((2, 2), -0.1, np.float32)),
    ],
)
def test_a_score_that_breaks_the_contract_names_the_picture(
    make_bundle: MakeBundle, make_parts: MakeParts, broken: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every part with such a score would be an ERROR at the line.
    monkeypatch.setattr(Broken, "broken", broken)
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    with pytest.raises(CalibrationError, match=r"130\.png: engine 'fake' gave the score .* scores lie above 0"):
        calibrate(bundle, [folder], Broken(bundle), rate=0.05)
    assert bundle.read_calibration() is None


def test_pictures_from_the_training_are_refused_by_content(trained_bundle: Bundle, make_parts: MakeParts) -> None:
    folder = make_parts("good", range(304, 370))
    (folder / "304.png").rename(folder / "other.png")
    with pytest.raises(CalibrationError, match=r"6 of 66 pictures were used in training \(305\.png, .* and 3 more\)"):
        calibrate(trained_bundle, [folder], Unused(trained_bundle), rate=0.05)


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


def test_a_malformed_training_list_is_refused(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle = make_bundle().update({TRAINING_IMAGES: b'{"images": []}'})
    with pytest.raises(BundleError, match=r"training_images\.json: images: unknown key"):
        calibrate(bundle, [make_parts("good", range(3, 63))], Unused(bundle), rate=0.05)


def test_copies_are_refused(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 63))
    shutil.copy(folder / "004.png", folder / "copy.png")
    with pytest.raises(CalibrationError, match=r"1 of 61 pictures are copies of others \(copy\.png\)"):
        calibrate(bundle, [folder], Unused(bundle), rate=0.05)


def test_a_folder_of_folders_names_the_one_to_take(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle = make_bundle()
    make_parts("calibration/dent", range(3, 6))
    good = make_parts("calibration/good", range(3, 63))
    with pytest.raises(DataError, match=rf"\(dent, good\): name the ones with good parts, for example {good}"):
        calibrate(bundle, [good.parent], Unused(bundle))


def test_places_without_pictures_are_named(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no pictures"):
        calibrate(bundle, [tmp_path / "empty"], Unused(bundle))
    with pytest.raises(DataError, match="no pictures were named"):
        calibrate(bundle, [], Unused(bundle))
    with pytest.raises(DataError, match="absent does not exist"):
        calibrate(bundle, [tmp_path / "absent"], Unused(bundle), rate=0.9, confidence=0.5)


def test_a_picture_that_cannot_be_used_is_named(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    folder = make_parts("good", range(3, 63))
    roomy = make_bundle("roi.csflow", roi=(0, 0, 65, 64))
    with pytest.raises(DataError, match=r"003\.png: region of interest"):
        calibrate(roomy, [folder], FakeEngine(roomy), rate=0.05)
    (folder / "020.png").write_bytes(b"no picture")
    bundle = make_bundle()
    with pytest.raises(DataError, match=r"020\.png is not a picture"):
        calibrate(bundle, [folder], FakeEngine(bundle), rate=0.05)


def test_impossible_shares_are_refused(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 63))
    with pytest.raises(ConfigError, match="the warn rate 1 % lies below the false-reject rate 5 %"):
        calibrate(bundle, [folder], Unused(bundle), rate=0.05, warn_rate=0.01)
    with pytest.raises(ConfigError, match="false-reject rate must lie between 0 and 1"):
        calibrate(bundle, [folder], Unused(bundle), rate=5)
    with pytest.raises(ConfigError, match="confidence must lie between 0 and 1"):
        calibrate(bundle, [folder], Unused(bundle), rate=0.05, confidence=95)


def test_a_pipe_is_refused_and_not_waited_for(make_bundle: MakeBundle, make_parts: MakeParts, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    bundle = make_bundle()
    with pytest.raises(DataError, match=r"pipe\.png cannot be decoded: it is a folder, pipe"):
        calibrate(bundle, [make_parts("good", range(100, 400)), tmp_path / "pipe.png"], Unused(bundle))


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
