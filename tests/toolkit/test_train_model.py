"""A training as a whole: what it writes, what it refuses, and that an interruption leaves nothing half-made."""

import dataclasses
import hashlib
import json
import os
import shutil
import statistics
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from csflow.calibration.pictures import TRAINING_IMAGES, refuse_seen
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.bundle.pictures import PictureSizes, picture_sizes
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import BundleError, CalibrationError, ConfigError, DataError, SinkError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.backbones.networks import resolve_name
from csflow.toolkit.backbones.quantized import is_quantized
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.hold_out import split_evenly
from csflow.toolkit.data.provenance import trained_on
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.mahalanobis import MahalanobisConfig, MahalanobisTraining
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model
from csflow.toolkit.plan import TrainPlan
from csflow.toolkit.train_model import train_model


def plan(weights: Path, **training: object) -> TrainPlan:
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(64, backbone, head=FlowConfig(kernel_sizes=(1,), hidden=4))
    return TrainPlan(model, TrainConfig(epochs=4, **training), str(weights))  # type: ignore[arg-type]


class Stops(Silent):
    """Presses Ctrl-C after the second epoch."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    @contextmanager
    def epochs(self, _total: int) -> Iterator[Callable[[int, float], None]]:  # type: ignore[override]
        """Interrupt."""

        def on_epoch(done: int, _loss: float) -> None:
            if done == 2:
                raise KeyboardInterrupt

        yield on_epoch


class Counts(Silent):
    """Keeps the numbers of finished epochs."""

    def __init__(self) -> None:
        self.done: list[int] = []

    @contextmanager
    def epochs(self, _total: int) -> Iterator[Callable[[int, float], None]]:  # type: ignore[override]
        """Count."""
        yield lambda done, _loss: self.done.append(done)


def test_bundle_carries_model_provenance_and_training_images(trained: Path, product_line: Path) -> None:
    bundle = Bundle.open(trained)
    bundle.verify()
    listed = json.loads(bundle.read(TRAINING_IMAGES))["files"]
    pictures = sorted((product_line / "train" / "good").iterdir())
    assert sorted(listed.values()) == sorted(hashlib.sha256(p.read_bytes()).hexdigest() for p in pictures)
    provenance = bundle.manifest.provenance
    assert provenance["backbone_weights"]["source"].startswith("package:")
    assert len(provenance["backbone_weights"]["sha256"]) == 64
    assert provenance["training"]["epochs"] == 25
    assert bundle.manifest.preprocessing.image_size == 128
    assert not Path(f"{trained}.training/fit/checkpoint.safetensors").exists()


def test_model_separates_defective_from_good_parts(trained: Path, product_line: Path) -> None:
    bundle = Bundle.open(trained)
    how = bundle.manifest.preprocessing
    samples = load_dataset(product_line).test
    with open_engine(bundle, "torch") as engine:
        scores = [engine.infer([Frame(preprocess(read_image(s.path), how))])[0].score for s in samples]
    good = [score for score, s in zip(scores, samples, strict=True) if s.label == "good"]
    defective = [score for score, s in zip(scores, samples, strict=True) if s.label != "good"]
    wins = sum(d > g for d in defective for g in good) / (len(good) * len(defective))
    assert wins > 0.8, "image AUROC on the synthetic line"


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


def test_an_int8_backbone_is_the_models_own_from_the_first_feature_on(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1, stages=(1,), precision="int8")
    model = ModelConfig(64, backbone, "mahalanobis", MahalanobisConfig())
    training = TrainPlan(model, MahalanobisTraining(), str(random_weights))
    stops = Stops()
    bundle = train_model(load_dataset(product_line), tmp_path / "int8.csflow", training, stops)
    assert any("tf_efficientnet_lite0.in1k in int8 (" in line for line in stops.lines)
    assert bundle.manifest.model["backbone"]["precision"] == "int8"
    assert is_quantized(Model.load(bundle).backbone)
    with open_engine(bundle, "torch") as engine:
        assert engine.name == "torch-fp32"


def test_interrupted_training_leaves_no_bundle_and_resumes_to_the_same_weights(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    straight = train_model(dataset, tmp_path / "straight", plan(random_weights), Silent())
    target = tmp_path / "interrupted"
    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, target, plan(random_weights), stops)
    assert not target.exists()
    checkpoint = Path(f"{target}.training/fit/checkpoint.safetensors")
    assert checkpoint.is_file()
    counts = Counts()
    resumed = train_model(dataset, target, plan(random_weights), counts)
    # A resumed training reports the epochs it did not have to repeat before it goes on.
    assert counts.done in ([1, 2, 3, 4], [2, 3, 4])
    assert not checkpoint.exists()
    assert resumed.weights_sha256 == straight.weights_sha256


def test_second_training_takes_features_from_the_cache(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    train_model(dataset, tmp_path / "b", plan(random_weights), Silent())
    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, tmp_path / "b", plan(random_weights, seed=1), stops)
    assert any("taken from" in line for line in stops.lines)
    Bundle.open(tmp_path / "b").verify()


def test_unfinished_training_of_other_settings_needs_fresh_and_is_refused_before_any_work(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(product_line)
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, tmp_path / "b", plan(random_weights), Stops())
    shutil.rmtree(tmp_path / "b.training/features")
    other = dataclasses.replace(plan(random_weights, seed=1), roi=(0, 0, 100, 90))
    with monkeypatch.context() as patched:
        patched.setattr("csflow.toolkit.train_model.extract_features", lambda *_: pytest.fail("work began"))
        with pytest.raises(
            ConfigError, match=r"\(roi was none and is \[0, 0, 100, 90\], seed was 0 and is 1\).*--fresh"
        ):
            train_model(dataset, tmp_path / "b", other, Silent())
    train_model(dataset, tmp_path / "b", other, Silent(), fresh=True)


def test_target_that_is_no_bundle_is_refused_before_any_work(tmp_path: Path, product_line: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="is no bundle"):
        train_model(load_dataset(product_line), tmp_path / "mine", plan(Path("never/read")), Silent())


def test_loaded_model_is_the_saved_one(trained: Path) -> None:
    bundle = Bundle.open(trained)
    first, second = Model.load(bundle), Model.load(bundle)
    x = tuple(torch.randn(1, *shape) for shape in first.shapes)
    for a, b in zip(first.head(*x), second.head(*x), strict=True):
        assert torch.equal(a, b)
    assert not first.head.training


def test_padding_of_the_backbone_survives_training(tmp_path: Path, product_line: Path, random_weights: Path) -> None:
    wanted = plan(random_weights)
    backbone = dataclasses.replace(wanted.model.backbone, padding="symmetric")
    wanted = dataclasses.replace(wanted, model=dataclasses.replace(wanted.model, backbone=backbone))
    made = train_model(load_dataset(product_line), tmp_path / "model.csflow", wanted, Silent())
    loaded = Model.load(made)
    assert loaded.config.backbone.padding == "symmetric"
    assert loaded.backbone.trunk.conv_stem.edges == (1, 1, 1, 1)


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


def test_full_disk_is_one_error_in_words(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("csflow.toolkit.tensor_file.save_file", full)
    with pytest.raises(SinkError, match="free the disk"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Silent())
    assert not (tmp_path / "b").exists()


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


class Refuses(Silent):
    """Ends the test where the work starts."""

    def images(self, _total: int) -> Any:  # type: ignore[override]
        """Fail."""
        raise AssertionError("the work began")


def test_what_can_fail_at_the_end_is_tried_at_the_beginning(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "images"
    shutil.copytree(product_line, root)
    for defect in (root / "test").iterdir():
        if defect.name != "good":
            for picture in defect.iterdir():
                picture.write_bytes(b"no picture")
    with pytest.raises(DataError, match="not a picture"):
        train_model(load_dataset(root), tmp_path / "b", plan(random_weights), Refuses())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(SinkError, match=r"needs .* MB, 0 MB are free"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Refuses())
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BundleError, match="may not be written"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Refuses())
    assert not (tmp_path / "b").exists()


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
    windowed = TrainPlan(model, MahalanobisTraining(0.1), str(random_weights), window=(200, 4095))
    told = Stops()
    bundle = train_model(load_dataset(tmp_path / "good"), tmp_path / "deep.csflow", windowed, told)
    assert bundle.manifest.preprocessing == Preprocessing(64, window=(200, 4095))
    assert any("levels 200 to 4095 become 0 to 255; of 4 pictures at most" in line for line in told.lines)
    without = dataclasses.replace(windowed, window=None)
    with pytest.raises(DataError, match="no window that maps them to 8"):
        train_model(load_dataset(tmp_path / "good"), tmp_path / "other.csflow", without, Silent())
