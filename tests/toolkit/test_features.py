"""The feature cache, and mirror images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.toolkit.config import BackboneConfig
from csflow.toolkit.features import cached_features, features_key, flip


def test_flip_variants() -> None:
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len(flip(image, "none")) == 1
    horizontal = flip(image, "horizontal")
    np.testing.assert_array_equal(horizontal[1], image[:, ::-1])
    assert len({v.tobytes() for v in flip(image, "both")}) == 4


def extract(value: float) -> tuple[torch.Tensor, ...]:
    return torch.full((2, 3, 4, 4), value), torch.full((2, 3, 2, 2), value)


def test_cache_answers_only_to_its_key(tmp_path: Path) -> None:
    cache = tmp_path / "work" / "features.safetensors"
    _, cached = cached_features(cache, "a", lambda: extract(1.0))
    assert not cached
    features, cached = cached_features(cache, "a", lambda: pytest.fail("extracted twice"))
    assert cached
    assert torch.equal(features[1], extract(1.0)[1])
    features, cached = cached_features(cache, "b", lambda: extract(2.0))
    assert not cached
    assert float(features[0].max()) == 2.0


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_damaged_cache_is_made_again(tmp_path: Path, keep: int) -> None:
    cache = tmp_path / "features.safetensors"
    cached_features(cache, "a", lambda: extract(1.0))
    cache.write_bytes(cache.read_bytes()[:keep])
    features, cached = cached_features(cache, "a", lambda: extract(3.0))
    assert not cached
    assert float(features[0].max()) == 3.0


def test_key_depends_on_everything() -> None:
    base = ("h1", "h2"), "backbone", BackboneConfig(), Preprocessing(256), "none"
    keys = {features_key(*base)}
    others = ("h2", "h1"), "b", BackboneConfig(padding="symmetric"), Preprocessing(256, (0, 0, 9, 9)), "both"
    for i, other in enumerate(others):
        keys.add(features_key(*[other if j == i else value for j, value in enumerate(base)]))  # type: ignore[arg-type]
    assert len(keys) == 6
