"""What of which pictures a training sees, and what the bundle remembers of them."""

import dataclasses
import json
import os
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.calibration.pictures import TRAINING_IMAGES, refuse_seen
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.bundle.pictures import PictureSizes, picture_sizes
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import CalibrationError, DataError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.backbones.networks import resolve_name
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.hold_out import split_evenly
from csflow.toolkit.data.provenance import trained_on
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.methods.mahalanobis import MahalanobisConfig, MahalanobisTraining
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import TrainPlan
from csflow.toolkit.train_model import train_model

from .quick_training import Stops, plan


def test_pictures_far_from_square_are_told_before_any_work(
    tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good").mkdir()
    Image.new("RGB", (200, 80)).save(tmp_path / "good/0.png")
    monkeypatch.setattr("csflow.toolkit.train_model.golden_pictures", lambda *_: pytest.fail("work began"))
    reporter = Stops()
    with pytest.raises(pytest.fail.Exception):
        train_model(load_dataset(tmp_path / "good"), tmp_path / "model.csflow", plan(random_weights), reporter)
    assert reporter.lines[-1].startswith("WARNING: pictures of 200x80 pixels are squeezed into a square")


def test_region_of_interest_is_kept_and_decides_what_is_seen(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    whole = train_model(dataset, tmp_path / "whole", plan(random_weights), Silent())
    roi = (10, 20, 64, 64)
    part = train_model(dataset, tmp_path / "part", dataclasses.replace(plan(random_weights), roi=roi), Silent())
    assert part.manifest.preprocessing.roi == roi
    assert part.weights_sha256 != whole.weights_sha256
    outside = dataclasses.replace(plan(random_weights), roi=(100, 0, 64, 64))
    with pytest.raises(DataError, match=r"\.png: region of interest .* leaves the image"):
        train_model(dataset, tmp_path / "outside", outside, Silent())
    assert not (tmp_path / "outside").exists()


def test_ignored_areas_are_painted_over_in_training_and_kept(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    ignore = ((0, 0, 64, 128),)
    wanted = dataclasses.replace(plan(random_weights), ignore=ignore)
    made = train_model(load_dataset(product_line), tmp_path / "model.csflow", wanted, Silent())
    assert Bundle.open(made.path).manifest.preprocessing.ignore == ignore
    for frame, _ in load_golden(made):
        left = frame.image[:, : frame.image.shape[1] // 2 - 4]
        assert (left == IGNORED_RGB).all()


def test_names_that_are_not_utf8_do_not_end_a_training(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    root = tmp_path / "images"
    (root / "train/good").mkdir(parents=True)
    for i, picture in enumerate(sorted((product_line / "train/good").iterdir())[:3]):
        shutil.copy(picture, os.fsencode(root / "train/good") + b"/Pr\xfcfteil %d.png" % i)
    made = train_model(load_dataset(root), tmp_path / "model.csflow", plan(random_weights), Silent())
    listed = json.loads(made.read(TRAINING_IMAGES).decode("utf-8"))["files"]
    assert list(listed) == [f"train/good/Pr\\xfcfteil {i}.png" for i in range(3)]
    assert len(trained_on(made, load_dataset(root).train)) == 3


def test_the_bundle_remembers_the_sizes_and_the_pixels_of_its_training_pictures(
    trained: Path, product_line: Path, tmp_path: Path
) -> None:
    bundle = Bundle.open(trained)
    assert picture_sizes(bundle) == PictureSizes((128, 128), (128, 128), (1.0, 1.0))
    copy = tmp_path / "copy.bmp"
    Image.fromarray(read_image(sorted((product_line / "train/good").iterdir())[3])).save(copy)
    with pytest.raises(CalibrationError, match="1 of 1 pictures were used in training"):
        refuse_seen(bundle, [copy])


def test_golden_good_frames_are_training_pictures(trained: Path, product_line: Path) -> None:
    pictures = [read_image(p).tobytes() for p in sorted((product_line / "train/good").iterdir())]
    good = [frame.image.tobytes() for frame, golden in load_golden(Bundle.open(trained)) if golden.label == "good"]
    assert len(good) == 4
    assert all(image in pictures for image in good)


def test_pictures_that_were_trained_on_are_named(trained: Path, product_line: Path) -> None:
    bundle, dataset = Bundle.open(trained), load_dataset(product_line)
    assert trained_on(bundle, dataset.test) == []
    assert trained_on(bundle, dataset.train) == [s.path for s in dataset.train]


def test_trained_pictures_are_known_by_content_whatever_their_name(
    trained: Path, product_line: Path, tmp_path: Path
) -> None:
    # The MVTec layout has the same names in every folder of test/.
    bundle, seen = Bundle.open(trained), tmp_path / "good" / "0000.png"
    files = {name: tmp_path / name / "0000.png" for name in ("dent", "good", "stain")}
    for i, path in enumerate(files.values()):
        path.parent.mkdir()
        Image.new("RGB", (64, 64), (i, 0, 0)).save(path)
    samples = [Sample(path, label) for label, path in files.items()]
    assert trained_on(bundle, samples) == []
    shutil.copy(next((product_line / "train" / "good").iterdir()), seen)
    assert trained_on(bundle, samples) == [seen]


def test_pictures_that_are_held_out_are_scored_and_not_fitted(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(64, backbone, "mahalanobis", MahalanobisConfig())
    made = {
        share: train_model(
            dataset,
            tmp_path / f"{share}.csflow",
            TrainPlan(model, MahalanobisTraining(0.1), str(random_weights), hold_out=share),
            Silent(),
        )
        for share in (0.0, 0.25)
    }
    told = {share: bundle.manifest.provenance["training"] for share, bundle in made.items()}
    assert [(t["images"], t["held_out"], t["good_scores"]) for t in told.values()] == [
        (24, 0, "left out in turn"),
        (24, 6, "held out"),
    ]
    _, held_out = split_evenly(dataset.train, 0.25)
    how = made[0.25].manifest.preprocessing
    with open_engine(made[0.25], "torch") as engine:
        scores = [p.score for s in held_out for p in engine.infer([Frame(preprocess(read_image(s.path), how))])]
    assert load_golden(made[0.25]).spread == pytest.approx((statistics.fmean(scores), statistics.pstdev(scores)))
    # Thresholds come from pictures that had no part in the bundle at all.
    with pytest.raises(CalibrationError, match="6 of 6 pictures were used in training"):
        refuse_seen(made[0.25], [s.path for s in held_out])


def test_pictures_of_16_bits_are_trained_by_their_window_alone(tmp_path: Path, random_weights: Path) -> None:
    draw = np.random.default_rng(16)
    for number in range(4):
        levels = draw.integers(100, 4000, (64, 64)).astype(np.uint16)
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(levels).save(tmp_path / "good" / f"{number}.png")
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(64, backbone, "mahalanobis", MahalanobisConfig())
    windowed = TrainPlan(model, MahalanobisTraining(0.1), str(random_weights), window=(200, 4095), exposure=110)
    told = Stops()
    bundle = train_model(load_dataset(tmp_path / "good"), tmp_path / "deep.csflow", windowed, told)
    assert bundle.manifest.preprocessing == Preprocessing(64, window=(200, 4095), exposure=110)
    assert any("levels 200 to 4095 become 0 to 255; of 4 pictures at most" in line for line in told.lines)
    without = dataclasses.replace(windowed, window=None)
    with pytest.raises(DataError, match="no window that maps them to 8"):
        train_model(load_dataset(tmp_path / "good"), tmp_path / "other.csflow", without, Silent())
