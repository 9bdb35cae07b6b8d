"""A training as a whole: what it writes, and that the model is in it."""

import dataclasses
import hashlib
import json
from pathlib import Path

import torch

from csflow.calibration.pictures import TRAINING_IMAGES
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.backbones.int8.quantized import is_quantized
from csflow.toolkit.backbones.networks import resolve_name
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.mahalanobis import MahalanobisConfig, MahalanobisTraining
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model
from csflow.toolkit.plan import TrainPlan
from csflow.toolkit.train_model import train_model

from .quick_training import Stops, plan


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


def test_an_int8_backbone_is_the_models_own_from_the_first_feature_on(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1, stages=(1,))
    model = ModelConfig(64, backbone.in_precision("int8"), "mahalanobis", MahalanobisConfig())
    training = TrainPlan(model, MahalanobisTraining(), str(random_weights))
    stops = Stops()
    bundle = train_model(load_dataset(product_line), tmp_path / "int8.csflow", training, stops)
    assert any("tf_efficientnet_lite0.in1k in int8 (" in line for line in stops.lines)
    assert {"precision": "int8", "wide": 2}.items() <= bundle.manifest.model["backbone"].items()
    assert is_quantized(Model.load(bundle).backbone)
    with open_engine(bundle, "torch") as engine:
        assert engine.name == "torch-fp32"


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
