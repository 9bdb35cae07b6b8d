"""Evaluation against what can be worked out by hand: the fake engine scores mean brightness / 255."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import DataError, InferenceError
from csflow.runtime.labels.folder import LabelFolder
from csflow.runtime.picture.region import WHOLE_PICTURE
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, evaluate, truth_of
from csflow.toolkit.evaluation.summary import summary_lines, to_json

SIDE = 64


def part(path: Path, level: int, spot: int | None = None, left: int = 32) -> None:
    """A grey picture; `spot` is the brightness of a square in its upper half, which the mask marks."""
    picture = np.full((SIDE, SIDE), level, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if spot is not None:
        picture[:32, left : left + 32] = spot
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[:32, left : left + 32] = 255
        target = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    Image.fromarray(picture).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Scores: good 0.39, 0.47, 0.63; dent 0.55, 0.75 with masks; stain 0.41 without one."""
    root = tmp_path / "images"
    part(root / "train/good/0.png", 100)
    for i, level in enumerate((100, 120, 160)):
        part(root / f"test/good/{i}.png", level)
    part(root / "test/dent/0.png", 110, spot=230)
    part(root / "test/dent/1.png", 180, spot=225, left=0)
    part(root / "test/stain/0.png", 105)
    return root


def run(bundle: Bundle, images: Path, engine: Engine | None = None) -> Evaluation:
    return evaluate(bundle, load_dataset(images), engine or FakeEngine(bundle))


def test_pictures_far_from_square_are_told(calibrated_bundle: Bundle, images: Path) -> None:
    assert run(calibrated_bundle, images).warnings == ()
    for file in images.rglob("*.png"):
        with Image.open(file) as picture:
            picture.resize((200, 50)).save(file)
    found = run(calibrated_bundle, images)
    assert summary_lines(found)[-1].startswith("WARNING: pictures of 200x50 pixels are squeezed into a square")
    assert to_json(found)["warnings"] == list(found.warnings)


def test_auroc_counts_the_pairs_in_the_right_order(calibrated_bundle: Bundle, images: Path) -> None:
    found = run(calibrated_bundle, images)
    assert found.image_auroc == pytest.approx((2 + 3 + 1) / 9)
    assert {row.defect_type: row.auroc for row in found.defects} == pytest.approx({"dent": 5 / 6, "stain": 1 / 3})


def test_verdicts_at_the_calibrated_thresholds(calibrated_bundle: Bundle, images: Path) -> None:
    found = run(calibrated_bundle, images)
    assert [(s.name, s.verdict) for s in found.samples] == [
        ("test/dent/0.png", "UNCERTAIN"),
        ("test/dent/1.png", "NOK"),
        ("test/good/0.png", "OK"),
        ("test/good/1.png", "OK"),
        ("test/good/2.png", "NOK"),
        ("test/stain/0.png", "OK"),
    ]
    assert found.rates is not None
    assert (found.rates.false_rejects, found.rates.escapes, found.rates.defect.uncertain) == (1, 1, 1)


def test_without_thresholds_there_are_no_verdicts(make_bundle: Callable[..., Bundle], images: Path) -> None:
    found = run(make_bundle(), images)
    assert found.rates is None
    assert {s.verdict for s in found.samples} == {None}
    assert "csflow calibrate" in summary_lines(found)[-1]


def test_pixel_auroc_is_that_of_maps_resized_as_the_reference_does(calibrated_bundle: Bundle, images: Path) -> None:
    found = run(calibrated_bundle, images)
    values, truth = [], []
    for scored in found.samples:
        if scored.sample.label != "stain":
            one = torch.from_numpy(scored.anomaly_map)[None, None]
            enlarged = torch.nn.functional.interpolate(one, (SIDE, SIDE), mode="bilinear", align_corners=False)
            values.append(enlarged.numpy().ravel())
            truth.append(truth_of(scored, SIDE, WHOLE_PICTURE).ravel())
    assert found.pixel is not None
    assert found.pixel.auroc == pytest.approx(roc_auc_score(np.concatenate(truth), np.concatenate(values)), abs=1e-6)
    assert 0 < found.pixel.pro <= 1
    assert (found.pixel.images, found.pixel.left_out) == (5, 1)


def test_no_masks_no_pixel_metrics(calibrated_bundle: Bundle, images: Path) -> None:
    for mask in (images / "ground_truth").rglob("*.png"):
        mask.unlink()
    assert run(calibrated_bundle, images).pixel is None


def test_an_empty_mask_is_left_out(calibrated_bundle: Bundle, images: Path) -> None:
    empty = images / "ground_truth/dent/0_mask.png"
    Image.new("L", (SIDE, SIDE), 0).save(empty)
    found = run(calibrated_bundle, images)
    assert found.pixel is not None
    assert found.pixel.left_out == 2


def test_maps_are_compared_inside_the_region_of_interest(make_bundle: Callable[..., Bundle], images: Path) -> None:
    found = run(make_bundle(roi=(32, 0, 32, 64)), images)
    right = next(s for s in found.samples if s.name == "test/dent/0.png")
    left = next(s for s in found.samples if s.name == "test/dent/1.png")
    assert truth_of(right, SIDE, found.region).shape == (64, 32)
    assert truth_of(right, SIDE, found.region)[:32].all()
    assert not truth_of(left, SIDE, found.region).any()
    assert found.pixel is not None
    assert found.pixel.left_out == 2


def test_maps_are_kept_no_larger_than_they_are_compared_and_the_metrics_are_those_of_the_whole_maps(
    calibrated_bundle: Bundle, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps: list[np.ndarray] = []

    class WholeMaps(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            maps.extend(frame.image[..., 0] / np.float32(255) for frame in frames)
            return [Prediction(p.score, maps[-1]) for p in super().infer(frames)]

    monkeypatch.setattr("csflow.toolkit.data.pixels.MASK_SIDE_PX", 10)
    found = run(calibrated_bundle, images, WholeMaps(calibrated_bundle))
    assert {s.anomaly_map.shape for s in found.samples} == {(10, 10)}
    used = [(s, m) for s, m in zip(found.samples, maps, strict=True) if s.good or s.sample.mask is not None]
    reduced = [Image.fromarray(m).resize((10, 10), Image.Resampling.BILINEAR) for _, m in used]
    truth = [np.zeros((10, 10), bool) if s.good else truth_of(s, 10, WHOLE_PICTURE) for s, _ in used]
    expected = roc_auc_score(np.ravel(truth), np.ravel([np.asarray(m) for m in reduced]))
    assert found.pixel is not None
    assert found.pixel.side_px == 10
    assert found.pixel.auroc == pytest.approx(expected)


def test_truth_is_reduced_but_never_enlarged(calibrated_bundle: Bundle, images: Path) -> None:
    scored = run(calibrated_bundle, images).samples[0]
    assert truth_of(scored, 16, WHOLE_PICTURE).shape == (16, 16)
    assert truth_of(scored, 1000, WHOLE_PICTURE).shape == (SIDE, SIDE)


def test_progress_is_told_of_every_picture(calibrated_bundle: Bundle, images: Path) -> None:
    told: list[int] = []
    evaluate(calibrated_bundle, load_dataset(images), FakeEngine(calibrated_bundle), told.append)
    assert told == [1] * 6


def test_json_has_every_number_and_nothing_that_json_lacks(calibrated_bundle: Bundle, images: Path) -> None:
    found = to_json(run(calibrated_bundle, images))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["images"] == {"good": 3, "defect": 3}
    assert [entry["file"] for entry in found["scores"]][-1] == "test/stain/0.png"
    assert found["rates"]["escapes"] == 1
    assert found["defects"][0]["median_score"] == pytest.approx((140 + 191.25) / 2 / 255)


def test_verdicts_that_an_operator_overruled_are_counted(calibrated_bundle: Bundle, images: Path) -> None:
    assert to_json(run(calibrated_bundle, images))["operator"] is None
    folder = LabelFolder(images)
    for number, (verdict, truth) in enumerate((("NOK", "good"), ("OK", "scratch"), ("OK", "good"))):
        picture = images.parent / f"{number}.png"
        part(picture, 40 + number)
        folder.add(picture.read_bytes(), picture.name, verdict, truth, "looked at it", "anna")
    found = run(calibrated_bundle, images)
    assert to_json(found)["operator"] == {
        "labels": 3, "false_rejects": 1, "escapes": 1, "decided": 0, "overruled": 2,
    }  # fmt: skip
    assert "verdicts overruled: 2" in summary_lines(found)[-1]
    assert sum("looked" in s.name for s in found.samples) == 0
    assert {s.sample.label for s in found.samples} >= {"good", "scratch"}


def test_summary_names_every_type(calibrated_bundle: Bundle, images: Path) -> None:
    text = "\n".join(summary_lines(run(calibrated_bundle, images)))
    assert "image AUROC 0.6667" in text
    assert "dent" in text
    assert "stain" in text
    assert "escapes 1 of 3 defective (33.3%)" in text


@pytest.mark.parametrize("missing", ["good", "defective"])
def test_one_class_alone_is_refused_before_scoring(calibrated_bundle: Bundle, images: Path, missing: str) -> None:
    folders = ["good"] if missing == "good" else ["dent", "stain"]
    for folder in folders:
        for path in (images / "test" / folder).iterdir():
            path.unlink()
    with pytest.raises(DataError, match=f"no {missing} test pictures"):
        run(calibrated_bundle, images, Broken(calibrated_bundle))


class Broken(FakeEngine):
    """An engine whose scores are not finite."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        return [Prediction(math.nan, p.anomaly_map) for p in super().infer(frames)]


def test_a_score_that_is_not_finite_ends_the_evaluation(calibrated_bundle: Bundle, images: Path) -> None:
    with pytest.raises(InferenceError, match=r"not finite for .*dent/0\.png"):
        run(calibrated_bundle, images, Broken(calibrated_bundle))


def test_an_unreadable_test_picture_is_named(calibrated_bundle: Bundle, images: Path) -> None:
    (images / "test/good/1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"good/1\.png"):
        run(calibrated_bundle, images)


def test_a_picture_without_the_part_is_named_and_counted_and_the_others_are_scored(
    aligned_bundle: Bundle, moving_part: Callable[..., Image.Image], tmp_path: Path
) -> None:
    root = tmp_path / "moving"
    places = {"train/good/0": 0, "test/good/0": 4, "test/good/1": -6, "test/hole/0": 2}
    for name, x in {**places, "test/good/empty": None, "test/hole/empty": None}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        moving_part(x, 200 if "hole" in name else 170).save(root / f"{name}.png")
    found = run(aligned_bundle, root)
    assert [part.name for part in found.not_found] == ["test/good/empty.png", "test/hole/empty.png"]
    assert (len(found.good), len(found.defective), found.image_auroc) == (2, 1, 1.0)
    assert found.rates is not None
    assert (found.rates.good.error, found.rates.good.total, found.rates.defect.error) == (1, 3, 1)
    assert "the part was not found in 1 good and 1 defective pictures (test/good/empty.png" in summary_lines(found)[-1]
    assert to_json(found)["not_found"][1] == {"name": "test/hole/empty.png", "label": "hole"}
    (root / "test/hole/0.png").unlink()
    with pytest.raises(DataError, match=r"none of the defective test pictures, not in test/hole/empty\.png"):
        run(aligned_bundle, root)
