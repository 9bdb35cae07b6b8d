"""Pictures that do not show the part that is aligned by: trainings and combinations name them and go on."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from csflow.calibration.pictures import TRAINING_IMAGES
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.toolkit.backbones.networks import resolve_name
from csflow.toolkit.combine import Combination, combine
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.mahalanobis import MahalanobisConfig, MahalanobisTraining
from csflow.toolkit.plan import TrainPlan
from csflow.toolkit.train_model import train_model

from .quick_training import Stops

MovingPart = Callable[..., Image.Image]


def drawn(folder: Path, moving_part: MovingPart, places: list[int | None], grey: int = 170) -> Path:
    folder.mkdir(parents=True)
    for i, x in enumerate(places):
        moving_part(x, grey + i).save(folder / f"{i:02d}.png")
    return folder


def test_pictures_without_the_part_are_named_and_the_others_fitted(
    moving_part: MovingPart, tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.toolkit.data.alignment.MOST_LOST", 0.2)
    drawn(tmp_path / "moving/train/good", moving_part, [None, -4, -1, 2, 5])
    drawn(tmp_path / "moving/test/hole", moving_part, [None, 2], grey=200)
    dataset = load_dataset(tmp_path / "moving")
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(64, backbone, "mahalanobis", MahalanobisConfig())
    plan = TrainPlan(model, MahalanobisTraining(0.1), str(random_weights), align="translation")
    told = Stops()
    made = train_model(dataset, tmp_path / "model.csflow", plan, told)
    assert any("the part was not found in 1 of 5 good pictures (00.png): they are left out" in s for s in told.lines)
    assert made.manifest.provenance["training"]["images"] == 4
    assert "train/good/00.png" not in json.loads(made.read(TRAINING_IMAGES))["files"]
    assert [golden.label for _, golden in load_golden(made)] == ["good"] * 4 + ["hole"]
    good = drawn(tmp_path / "good", moving_part, [*range(-5, 5), None], grey=160)
    other = Bundle.open(shutil.copytree(made.path, tmp_path / "other.csflow"))
    joined = combine([made, other], tmp_path / "both.csflow", Combination(good=(good,)), told)
    assert "in 1 of 11 good pictures (10.png)" in told.lines[-1]
    assert joined.manifest.provenance["training"]["standardised_by"] == 10
