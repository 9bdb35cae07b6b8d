"""Features on the disk: equal to the backbone's, kept while nothing changed, never half-written; and mirror images."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import SinkError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.weights import load_backbone
from csflow.toolkit.features import FeatureFiles, Plan, extract_features, features_key, flip, open_features

HOW = Preprocessing(64)


def test_flip_variants() -> None:
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len(flip(image, "none")) == 1
    horizontal = flip(image, "horizontal")
    np.testing.assert_array_equal(horizontal[1], image[:, ::-1])
    assert len({v.tobytes() for v in flip(image, "both")}) == 4
    assert all(Plan((), HOW, flips).variants == len(flip(image, flips)) for flips in ("none", "vertical", "both"))


@pytest.fixture(scope="module")
def backbone(random_weights: Path) -> Backbone:
    config = BackboneConfig("tf_efficientnet_lite0", 2, stages=(2, 5))
    return load_backbone(config, str(random_weights))[0]


@pytest.fixture
def paths(product_line: Path) -> list[Path]:
    return sorted((product_line / "train" / "good").iterdir())[:9]


def test_rows_are_the_backbone_s_features_and_the_size_is_told_before(
    backbone: Backbone, paths: list[Path], tmp_path: Path
) -> None:
    plan = Plan(paths, HOW, "horizontal")
    counts: list[int] = []
    made = extract_features(backbone, plan, tmp_path / "features", "key", counts.append)
    assert sum(counts) == made.pictures == len(paths)
    assert (len(made), made.variants, made.shapes) == (18, 2, backbone.shapes(64))
    data = sum(file.stat().st_size for file in (tmp_path / "features").glob("*.npy"))
    assert 0 <= data - plan.size(made.shapes) < 1000, "beside the numbers, only a header a file"
    image = preprocess(read_image(paths[4]), HOW)
    with torch.no_grad():
        expected = backbone(torch.from_numpy(np.stack(flip(image, "horizontal"))))
    for got, x in zip(made.rows(slice(8, 10)), expected, strict=True):
        torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)
    assert isinstance(made.maps[0], np.memmap)


def test_moments_are_those_of_all_rows() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (150, 4, 3, 3)).astype(np.float32)
    ((mean, variance),) = FeatureFiles((x,)).channel_moments()
    np.testing.assert_allclose(mean, x.astype(float).mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(variance, x.astype(float).var(axis=(0, 2, 3)), rtol=1e-9)


def test_files_answer_only_to_their_key_and_only_whole(backbone: Backbone, paths: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "features"
    assert open_features(folder, "a") is None
    extract_features(backbone, Plan(paths, HOW), folder, "a")
    found = open_features(folder, "a")
    assert found is not None
    assert open_features(folder, "b") is None
    file = folder / "features_1.npy"
    data = file.read_bytes()
    for damaged in (b"", data[:5], data[:-100]):
        file.write_bytes(damaged)
        assert open_features(folder, "a") is None


def test_interrupted_extraction_leaves_nothing_that_opens(
    backbone: Backbone, paths: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    extract_features(backbone, Plan(paths, HOW), folder, "a")

    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(backbone, Plan(paths, HOW), folder, "a", interrupt)
    assert open_features(folder, "a") is None


def test_full_disk_is_seen_before_the_first_picture(
    backbone: Backbone, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage(1, 1, 1000))
    with pytest.raises(SinkError, match="free the disk"):
        extract_features(backbone, Plan(paths, HOW), tmp_path, "a", lambda _count: pytest.fail("extracted"))


def test_key_depends_on_everything() -> None:
    base = ("h1", "h2"), "backbone", BackboneConfig(), Preprocessing(256), "none"
    keys = {features_key(*base)}
    others = ("h2", "h1"), "b", BackboneConfig(padding="symmetric"), Preprocessing(256, (0, 0, 9, 9)), "both"
    for i, other in enumerate(others):
        keys.add(features_key(*[other if j == i else value for j, value in enumerate(base)]))  # type: ignore[arg-type]
    assert len(keys) == 6
