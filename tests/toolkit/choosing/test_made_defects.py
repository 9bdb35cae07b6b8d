"""Made defects: somewhere in the picture, of the size that is said, from the other picture where they are cut."""

import numpy as np
import pytest

from csflow.toolkit.choosing.made_defects import KINDS, made_defect

SIDE = 128


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_part_of_the_picture_is_changed(kind: str) -> None:
    draw = np.random.default_rng(1)
    picture, other = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 200, np.uint8)
    for _ in range(20):
        before = picture.copy()
        made = made_defect(picture, other, kind, draw)
        assert np.array_equal(picture, before)
        assert (made.shape, made.dtype) == (picture.shape, np.uint8)
        assert 0.0 < (made != picture).any(axis=2).mean() < 0.15


def test_a_patch_is_cut_from_the_other_picture() -> None:
    other = np.full((SIDE, SIDE, 3), 200, np.uint8)
    made = made_defect(np.zeros((SIDE, SIDE, 3), np.uint8), other, "patch", np.random.default_rng(0))
    assert set(np.unique(made)) == {0, 200}


def test_the_same_draw_makes_the_same_defect() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for kind in KINDS:
        one, two = (made_defect(picture, picture[::-1], kind, np.random.default_rng(7)) for _ in range(2))
        assert np.array_equal(one, two)
