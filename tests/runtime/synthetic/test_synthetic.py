"""The synthetic product line: the same bytes everywhere, and masks that tell the whole truth."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.synthetic.product import DEFECTS, part_at, render_part

SIZES = [(64, 64), (256, 256), (200, 120), (96, 300)]


@pytest.mark.parametrize("size", SIZES)
def test_image_and_mask_have_the_size_asked_for(size: tuple[int, int]) -> None:
    part = render_part(3, 1, size, "dent")
    assert part.image.shape == (size[1], size[0], 3)
    assert part.image.dtype == np.uint8
    assert part.mask.shape == (size[1], size[0])
    assert part.mask.dtype == np.bool_


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_mask_is_where_the_defect_changes_the_picture(defect: str, size: tuple[int, int]) -> None:
    for index in range(12):
        good, bad = render_part(5, index, size), render_part(5, index, size, defect)
        changed = (good.image != bad.image).any(axis=2)
        assert not (changed & ~bad.mask).any()
        assert changed[bad.mask].mean() > 0.5
        assert 0 < bad.mask.mean() < 0.2
        assert bad.defect == defect
        assert good.defect is None
        assert not good.mask.any()


@pytest.mark.parametrize(
    ("defect", "digest"),
    [
        (None, "519794aab8dd3415"),
        ("scratch", "b95e241decdacd6f"),
        ("dent", "9110db6b054329f9"),
        ("stain", "891ac9a7d9a011f1"),
        ("missing_hole", "01735aaba0d82c6a"),
    ],
)
def test_bytes_are_the_same_on_every_machine(defect: str | None, digest: str) -> None:
    part = render_part(1, 42, (160, 128), defect)
    assert hashlib.sha256(part.image.tobytes() + part.mask.tobytes()).hexdigest()[:16] == digest


def test_every_part_of_every_line_is_another() -> None:
    parts = [render_part(seed, index, (64, 64)).image.tobytes() for seed in range(3) for index in range(5)]
    assert len(set(parts)) == len(parts)


def test_defects_differ_in_place_and_extent() -> None:
    for defect in DEFECTS[:3]:
        masks = [render_part(2, index, (128, 128), defect).mask for index in range(10)]
        assert len({mask.tobytes() for mask in masks}) == 10
        areas = sorted(int(mask.sum()) for mask in masks)
        assert areas[-1] > 2 * areas[0]


def test_share_of_defective_parts_and_their_types() -> None:
    line = [part_at(7, index, 0.25, (64, 64)).defect for index in range(400)]
    faulty = [defect for defect in line if defect is not None]
    assert abs(len(faulty) - 100) < 3 * np.sqrt(400 * 0.25 * 0.75)
    assert set(faulty) == set(DEFECTS)


@pytest.mark.parametrize(("share", "faulty"), [(0.0, 0), (1.0, 20)])
def test_share_of_none_and_all(share: float, faulty: int) -> None:
    assert sum(part_at(0, i, share, (64, 64)).defect is not None for i in range(20)) == faulty


def test_part_at_shows_the_part_that_render_part_shows() -> None:
    drawn = part_at(9, 4, 1.0, (64, 64))
    assert np.array_equal(drawn.image, render_part(9, 4, (64, 64), drawn.defect).image)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, 0), "seed"),
        ((0, -1), "index"),
        ((0, 0, (63, 200)), "63x200"),
        ((0, 0, (64, 64), "scrach"), "scratch"),
    ],
)
def test_what_cannot_be_rendered_is_named(arguments: tuple[int, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        render_part(*arguments)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        part_at(0, 0, share)
