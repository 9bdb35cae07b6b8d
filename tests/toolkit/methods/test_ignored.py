"""Areas that do not count: which positions these are, and that no method lets them into fit, score or map."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import ConfigError
from csflow.toolkit.methods.combined import CombinedConfig, CombinedHead, MemberConfig
from csflow.toolkit.methods.ignored import Ignored, make_room, places_line
from csflow.toolkit.methods.method import Shapes
from csflow.toolkit.methods.table import METHODS

from .ignoring import CASES, LEFT, PYRAMID, SIDE, SIZES, disturbed, features, fit, ignored, judged


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_is_ignored_changes_neither_fit_nor_score_nor_map(method: str, tmp_path: Path) -> None:
    files = features(method)
    head = fit(method, files, tmp_path / "a")
    score, anomaly_map = judged(head, files)
    other, other_map = judged(head, disturbed(files, 50.0))
    torch.testing.assert_close(other, score)
    torch.testing.assert_close(other_map, anomaly_map)
    again, again_map = judged(fit(method, disturbed(files, 50.0), tmp_path / "b"), files)
    torch.testing.assert_close(again, score, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(again_map, anomaly_map, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_scores_are_positive_and_the_map_is_0_where_ignored_and_only_there(method: str, tmp_path: Path) -> None:
    files = features(method)
    score, anomaly_map = judged(fit(method, files, tmp_path), files)
    places = ignored().places(*anomaly_map.shape[1:]).bool()
    assert 0 < int(places.sum()) < places.numel()
    assert (score > 0).all()
    assert torch.isfinite(score).all()
    assert not anomaly_map[:, ~places].any()
    assert (anomaly_map[:, places] > 0).all()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_counts_is_still_seen(method: str, tmp_path: Path) -> None:
    files = features(method)
    head = fit(method, files, tmp_path)
    score, anomaly_map = judged(head, files)
    strange = [np.where((mask.numpy() > 0), x * 6.0, x) for x, mask in zip(files.maps, files.kept, strict=True)]
    stranger, stranger_map = judged(head, dataclasses.replace(files, maps=tuple(s.astype(np.float32) for s in strange)))
    assert (stranger > score).all()
    assert stranger_map.mean() > anomaly_map.mean()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_counts_is_part_of_the_state(method: str, tmp_path: Path) -> None:
    head = fit(method, features(method), tmp_path)
    state = load(save(dict(head.state_dict())))
    with torch.device("meta"):
        loaded = METHODS[method].head(head.config, CASES[method][2])
    make_room(loaded, state)
    loaded.load_state_dict(state, assign=True)
    for got, expected in zip(judged(loaded.eval(), features(method)), judged(head, features(method)), strict=True):
        assert torch.equal(got, expected)


def test_a_combination_ignores_what_its_members_do(tmp_path: Path) -> None:
    members = ("mahalanobis", "padim")
    heads = [fit(method, features(method), tmp_path) for method in members]
    config = CombinedConfig(tuple(MemberConfig(m, m, (0, 1), {}) for m in members), maps=(0, 1))
    combined = CombinedHead(config, heads)
    combined.ignore_as_members()
    files = features("padim")
    score, anomaly_map = judged(combined.eval(), files)
    other, other_map = judged(combined, disturbed(files, 50.0))
    torch.testing.assert_close(other, score)
    torch.testing.assert_close(other_map, anomaly_map)
    places = ignored().places(8, 8).bool()
    assert not anomaly_map[:, ~places].any()
    assert (anomaly_map[:, places] > 0).all()


def test_a_position_is_ignored_where_at_least_half_of_it_is_painted() -> None:
    how = Preprocessing(SIDE, ignore=((0, 0, 50, 100), (150, 0, 49, 100)))
    found = ignored(how).places(2, 2)
    assert found.tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_areas_are_cut_by_the_region_of_interest_and_positions_lie_in_it() -> None:
    how = Preprocessing(SIDE, (100, 100, 40, 40), ignore=((0, 0, 110, 500),))
    found = Ignored.of(how, [(200, 200), (300, 500)])
    assert found is not None
    assert found.places(4, 4).tolist() == [[0.0, 1.0, 1.0, 1.0]] * 4


def test_patches_are_ignored_by_what_they_cover() -> None:
    shapes: Shapes = ((6, 4, 4), (6, 3, 3))
    how = Preprocessing(SIDE, ignore=((0, 0, 80, 200),))
    small, large = ignored(how).kept(shapes, ((32, 32), (64, 32)))
    # 40 % of the picture: 51 of 128 px. Patches begin at 0, 32, 64 and 96 px.
    assert small.tolist() == [[0.0, 0.0, 1.0, 1.0]] * 4
    assert large.tolist() == [[0.0, 1.0, 1.0]] * 3


def test_nothing_to_ignore_changes_nothing() -> None:
    assert Ignored.of(Preprocessing(SIDE), SIZES) is None
    small = ignored(Preprocessing(SIDE, ignore=((0, 0, 3, 3),))).kept(PYRAMID, ())
    assert small == ()
    assert "all of them count" in places_line(small)
    half = ignored(Preprocessing(SIDE, ignore=((0, 0, 200, 100),))).kept(PYRAMID, ())
    assert "32 of 8x8, 8 of 4x4" in places_line(half)


@pytest.mark.parametrize(
    ("how", "sizes", "flips", "problem"),
    [
        (Preprocessing(SIDE, ignore=((0, 0, 200, 190),)), SIZES, "none", "leave nothing of the 8x8 feature map"),
        (Preprocessing(SIDE, (0, 0, 50, 50), ignore=((60, 60, 9, 9),)), SIZES, "none", "outside of the region"),
        (LEFT, [(200, 200), (201, 200)], "none", "different sizes"),
        (LEFT, SIZES, "horizontal", "leave --flips out"),
    ],
)
def test_refusals_say_what_to_do(how: Preprocessing, sizes: list[tuple[int, int]], flips: str, problem: str) -> None:
    def kept() -> object:
        found = Ignored.of(how, sizes, flips)
        return found and found.kept(PYRAMID, ())

    with pytest.raises(ConfigError, match=problem):
        kept()


def test_mirror_images_are_taken_where_the_areas_lie_alike() -> None:
    assert Ignored.of(Preprocessing(SIDE, ignore=((50, 0, 100, 20),)), SIZES, "horizontal") is not None
