"""Multi-scale patches: what is cut, the map pixel by pixel as published, banks and what they leave out, refusals."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from csflow.export.graphs.heads.patches import patches_graph
from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.backbones.patches import cut
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.method import SCORE_FLOOR, Workplace
from csflow.toolkit.methods.patches.bank import farthest_first, principal_components
from csflow.toolkit.methods.patches.config import PatchesConfig, PatchesTraining
from csflow.toolkit.methods.patches.head import PatchesHead
from csflow.toolkit.methods.patches.method import Patches
from csflow.toolkit.plan import BackboneChoice, model_plan

CONFIG = PatchesConfig(sizes=(16, 32), strides=(8, 16), dimensions=3, bank=0)
SIDE = 64
GRIDS = (7, 3)
WORK = Workplace(Path(), "", torch.device("cpu"), lambda _total: nullcontext(lambda _done, _loss: None))


def features(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Maps of 5 and 4 channels that differ in scale."""
    draw = np.random.default_rng(seed)
    return tuple(
        (draw.normal(size=(count, c, g, g)) * np.arange(1, c + 1)[:, None, None] + 2.0).astype(np.float32)
        for c, g in zip((5, 4), GRIDS, strict=True)
    )


def fit(
    maps: tuple[np.ndarray, ...],
    config: PatchesConfig = CONFIG,
    golden: frozenset[int] = frozenset(),
    variants: int = 1,
) -> tuple[PatchesHead, tuple[float, ...]]:
    work = dataclasses.replace(WORK, golden=golden)
    fitted = Patches().fit(FeatureFiles(maps, variants), config, PatchesTraining(), work)
    assert isinstance(fitted.head, PatchesHead)
    return fitted.head, fitted.good_scores


def tensors(maps: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(x) for x in maps)


def published(distances: np.ndarray, size: int, stride: int) -> np.ndarray:
    """The mean at every pixel of the distances (g, g) of all patches that cover it."""
    total, count = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for i, row in enumerate(distances):
        for j, value in enumerate(row):
            place = np.s_[i * stride : i * stride + size, j * stride : j * stride + size]
            total[place] += value
            count[place] += 1
    return np.asarray(total / count)


def nearest(maps: tuple[np.ndarray, ...], good: tuple[np.ndarray, ...], head: PatchesHead) -> list[np.ndarray]:
    """Distances (N, g, g) of each size, written out."""
    found = []
    for bank, x, known in zip(head.patch_banks(), tensors(maps), tensors(good), strict=True):
        z, b = bank.embedded(x), bank.embedded(known)
        found.append(torch.cdist(z.double(), b.double()).amin(dim=1).reshape(len(x), *x.shape[2:]).numpy())
    return found


@pytest.mark.parametrize("combine", ["published", "normalised"])
def test_map_and_score_are_the_published_ones_squared(combine: str) -> None:
    good, new = features(6), features(2, seed=1)
    head, _ = fit(good, dataclasses.replace(CONFIG, combine=combine))
    weights = head.get_buffer("weights").numpy()
    assert (weights[0] == weights[1]) == (combine == "published")
    with torch.no_grad():
        score, anomaly_map = head(*tensors(new))
    assert anomaly_map.shape == (2, 8, 8), "one value a cell of 8 px"
    for n in range(2):
        parts = [
            weights[k] * published(d[n], size, stride)
            for k, (d, size, stride) in enumerate(zip(nearest(new, good, head), (16, 32), (8, 16), strict=True))
        ]
        by_pixel = np.square(sum(parts))
        np.testing.assert_allclose(np.kron(anomaly_map[n].numpy(), np.ones((8, 8))), by_pixel, rtol=1e-3)
        assert float(score[n]) == pytest.approx(by_pixel.max() / 2 + SCORE_FLOOR, rel=1e-3)


def test_patches_are_cut_row_by_row_and_read_alone() -> None:
    x = torch.arange(3 * SIDE * SIDE, dtype=torch.float32).reshape(1, 3, SIDE, SIDE)
    patches = cut(x, 32, 16)
    assert patches.shape == (9, 3, 32, 32)
    assert torch.equal(patches[5], x[0, :, 16:48, 32:64])
    config = BackboneConfig("tf_efficientnet_lite0", scales=1, stages=(1, 2), patches=((32, 16), (32, 32)))
    backbone = build_backbone(config)
    frames = torch.randint(0, 256, (2, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    whole = Backbone(backbone.trunk.network, BackboneConfig(config.name, scales=1, stages=(1, 2)))  # type: ignore[arg-type]
    with torch.no_grad():
        got = backbone(frames)
        alone = whole(frames[1:2, 16:48, 32:64])
    assert [tuple(f.shape) for f in got] == [(2, 24, 3, 3), (2, 40, 2, 2)]
    torch.testing.assert_close(got[0][1, :, 1, 2], alone[0][0].mean(dim=(1, 2)))


def test_components_are_uncorrelated_with_variance_1() -> None:
    x = torch.from_numpy(features(40)[0]).double().transpose(0, 1).flatten(1)
    matrix = principal_components(torch.cov(x, correction=0), 3)
    torch.testing.assert_close(torch.cov(matrix @ x, correction=0), torch.eye(3, dtype=torch.float64))
    still = principal_components(torch.diag(torch.tensor([1.0, 0.0]).double()), 2)
    assert torch.isfinite(still).all()


def test_a_bank_keeps_what_is_far_apart_and_as_many_as_asked() -> None:
    z = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.1, 0.0], [0.0, -7.0], [3.0, 0.0]])
    assert farthest_first(z, 4).tolist() == [5, 4, 3, 0]
    head, _ = fit(features(6), dataclasses.replace(CONFIG, bank=50))
    assert head.config.kept == (50, 50)
    assert fit(features(6))[0].config.kept == (6 * 49, 6 * 9)


def test_good_scores_are_of_pictures_that_are_left_out_and_golden_ones_are_in_no_bank() -> None:
    good = features(6)
    head, left_out = fit(good)
    with torch.no_grad():
        known = head(*tensors(good))[0]
    assert len(left_out) == 6
    assert float(known.max()) < 1e-3 < min(left_out)
    mirrored = fit(tuple(np.repeat(x, 2, axis=0) for x in good), variants=2)[1]
    np.testing.assert_allclose(mirrored, np.repeat(left_out, 2), rtol=1e-4)
    head, others = fit(good, golden=frozenset({0, 3}))
    with torch.no_grad():
        scores = head(*tensors(good))[0]
    assert head.config.kept == (4 * 49, 4 * 9)
    assert min(scores[0], scores[3]) > 0.1 > 1e-3 > max(scores[i] for i in (1, 2, 4, 5))
    np.testing.assert_allclose([others[0], others[3]], [scores[0], scores[3]], rtol=1e-4)


def test_half_precision_keeps_small_distances() -> None:
    good, new = features(6), features(3, seed=2)
    head, _ = fit(good)
    shapes = tuple(x.shape[1:] for x in good)
    half = patches_graph(head, shapes, "fp16")  # type: ignore[arg-type]
    with torch.no_grad():
        expected = head(*tensors(new))[1]
        got = half.module(*(x.half() for x in tensors(new)))[1]
    assert float((got - expected).abs().sum() / expected.sum()) < 0.02


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="at least 2"):
        fit(features(1))
    huge = tuple(np.broadcast_to(np.float32(0), (1 << 20, *x.shape[1:])) for x in features(1))
    with pytest.raises(ConfigError, match=r"choose a bank of at most \d+"):
        fit(huge)
    lite = BackboneChoice("tf_efficientnet_lite0", 128)
    for text, word in (
        ("patches?sizes=64,32&strides=8,8", "must rise"),
        ("patches?sizes=32&strides=33", "between 1 and the size"),
        ("patches?combine=best", "normalised or published"),
        ("patches?bank=-1", "bank must"),
    ):
        with pytest.raises(ConfigError, match=word):
            model_plan(text, lite)
    model, _ = model_plan("patches?sizes=32,64&strides=16,32", lite)
    assert model.backbone.stages == (2, 4)
    assert model.backbone.patches == ((32, 16), (64, 32))
    with pytest.raises(ConfigError, match="do not cover 100 px"):
        build_backbone(model.backbone).shapes(100)
    with pytest.raises(ConfigError, match="as many stages"):
        model_plan("patches", dataclasses.replace(lite, stages=(2, 4)))
