"""Each method fitted to random features of a picture of which a part is ignored."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.glad.config import GladConfig, GladTraining
from csflow.toolkit.methods.ignored import Ignored
from csflow.toolkit.methods.method import Head, Shapes, Workplace
from csflow.toolkit.methods.padim import PaDiMConfig
from csflow.toolkit.methods.patches.config import PatchesConfig
from csflow.toolkit.methods.table import METHODS

SIDE = 128
LEFT = Preprocessing(SIDE, ignore=((0, 0, 70, 64), (40, 0, 30, 200)))
"""A bar that covers the left 35 % of a picture of 200 x 200, but for a window at its lower left."""
SIZES = [(200, 200)]
PYRAMID: Shapes = ((6, 8, 8), (6, 4, 4))
PATCHES = PatchesConfig(sizes=(16, 32), strides=(16, 16), dimensions=3, bank=50)
CASES: dict[str, tuple[Any, Any, Shapes]] = {
    "cs-flow": (FlowConfig(6, 2, (3, 3), 8), TrainConfig(epochs=2, batch_size=8, autocast=False), PYRAMID),
    "glad": (GladConfig(2, 0.05), GladTraining(2, 0.1), PYRAMID),
    "mahalanobis": (METHODS["mahalanobis"].config(), METHODS["mahalanobis"].training(), PYRAMID),
    "nearest": (METHODS["nearest"].config(), METHODS["nearest"].training(), PYRAMID),
    "padim": (PaDiMConfig(7), METHODS["padim"].training(0.1), PYRAMID),
    "patches": (PATCHES, METHODS["patches"].training(), ((6, 8, 8), (5, 7, 7))),
}
PATCH_SIZES = tuple(zip(PATCHES.sizes, PATCHES.strides, strict=True))


def ignored(how: Preprocessing = LEFT) -> Ignored:
    found = Ignored.of(how, SIZES)
    assert found is not None
    return found


def features(method: str, count: int = 24, seed: int = 7) -> FeatureFiles:
    draw = np.random.default_rng(seed)
    shapes = CASES[method][2]
    maps = tuple(draw.normal(size=(count, *shape)).astype(np.float32) for shape in shapes)
    return FeatureFiles(maps, kept=ignored().kept(shapes, PATCH_SIZES if method == "patches" else ()))


def disturbed(files: FeatureFiles, by: float) -> FeatureFiles:
    """Other values wherever nothing counts."""
    draw = np.random.default_rng(8)
    pairs = zip(files.maps, files.kept, strict=True)
    maps = tuple(np.where(mask.numpy() > 0, x, by * draw.normal(size=x.shape)).astype(np.float32) for x, mask in pairs)
    return dataclasses.replace(files, maps=maps)


def fit(method: str, files: FeatureFiles, folder: Path) -> Head:
    config, training, shapes = CASES[method]
    family = METHODS[method]
    work = Workplace(
        folder, "", torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None), ignored=ignored()
    )
    return family.fit(files, family.settle(config, shapes), training, work).head


def judged(head: Head, files: FeatureFiles) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        found: tuple[Tensor, Tensor] = head(*files.rows(slice(0, 4)))
    return found
