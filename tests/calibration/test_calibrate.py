"""From pictures of good parts to calibration.json, or to a refusal that says what is needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from csflow.calibration.calibrate import calibrate, choose_thresholds
from csflow.calibration.pictures import TRAINING_PIXELS, pixels_sha256
from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import (
    calibration_decoders,
)
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import CalibrationError
from csflow.runtime.picture.origin import png_info
from csflow.runtime.types import Frame, Prediction, Verdict

MakeBundle = Callable[..., Bundle]
MakeParts = Callable[..., Path]


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


def test_equal_pixels_are_one_part_whatever_the_file_says_besides(
    make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    with Image.open(folder / "120.png") as picture:
        note = PngImagePlugin.PngInfo()
        note.add_text("operator", "second shift")
        picture.save(folder / "130.png", pnginfo=note)
    assert (folder / "120.png").read_bytes() != (folder / "130.png").read_bytes()
    with pytest.raises(CalibrationError, match=r"1 of 60 pictures are copies of others \(130\.png\)"):
        calibrate(bundle, [folder], unused(bundle), 0.05)
    listed = schema.dump_json({"pixels": [pixels_sha256(folder / "140.png")]})
    bundle = bundle.update({TRAINING_PIXELS: listed})
    with pytest.raises(CalibrationError, match=r"1 of 60 pictures were used in training \(140\.png\)"):
        calibrate(bundle, [folder], unused(bundle), 0.05)


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
    make_bundle: MakeBundle, make_parts: MakeParts, unused: type[FakeEngine]
) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 103))
    with pytest.raises(CalibrationError) as refusal:
        calibrate(bundle, [folder], unused(bundle))
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
