"""Preprocessing is Pillow's antialiased bilinear filter on the region of interest, and refuses the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import SourceError
from csflow.runtime.picture.preprocess import pieces_of, preprocess


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def triangle_weights(length: int, out: int) -> NDArray[np.int64]:
    """(out, length) weights of the antialiased bilinear filter in units of 2**-22, straight from its definition."""
    scale = length / out
    support = max(scale, 1.0)
    centre = (np.arange(out) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centre[:, None]) / support)
    fixed: NDArray[np.int64] = np.floor(0.5 + weights / weights.sum(axis=1, keepdims=True) * 2**22).astype(np.int64)
    return fixed


def weighted(weights: NDArray[np.int64], pixels: NDArray[Any]) -> NDArray[np.int64]:
    """`weights` over the first axis of `pixels`, rounded to 8 bits."""
    sums: NDArray[np.int64] = np.tensordot(weights, pixels.astype(np.int64), 1)
    rounded: NDArray[np.int64] = (sums + 2**21) >> 22
    return rounded.clip(max=255)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.data())
def test_it_is_the_filter_of_the_definition_whatever_pillow_does(height: int, width: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    image = noise(height, width)
    ours = preprocess(image, Preprocessing(64, (x, y, w, h)))
    columns = weighted(triangle_weights(w, 64), image[y : y + h, x : x + w].transpose(1, 0, 2))
    rows = weighted(triangle_weights(h, 64), columns.transpose(1, 0, 2))
    np.testing.assert_array_equal(ours, rows)
    assert ours.flags.c_contiguous


def test_array_and_picture_give_the_same_and_are_left_alone() -> None:
    image = noise(40, 50)
    before = image.copy()
    how = Preprocessing(32)
    np.testing.assert_array_equal(preprocess(image, how), preprocess(Image.fromarray(image), how))
    np.testing.assert_array_equal(image, before)


def test_a_picture_of_the_right_size_is_unchanged_and_not_shared() -> None:
    image = noise(64, 64)
    out = preprocess(image, Preprocessing(64))
    np.testing.assert_array_equal(out, image)
    assert not np.shares_memory(out, image)


@pytest.mark.parametrize("stepped", [np.s_[::2, ::3], np.s_[::-1, ::-1], np.s_[5:30, 5:30]])
def test_strided_views_are_read_by_their_pixels(stepped: Any) -> None:
    view = noise(60, 60)[stepped]
    how = Preprocessing(32)
    np.testing.assert_array_equal(preprocess(view, how), preprocess(view.copy(), how))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_pictures_of_eight_bits_become_rgb(mode: str) -> None:
    picture = Image.fromarray(noise(32, 32)).convert(mode)
    np.testing.assert_array_equal(preprocess(picture, Preprocessing(32)), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_deeper_pictures_are_refused_rather_than_cut_off(mode: str) -> None:
    with pytest.raises(SourceError, match="8 bits"):
        preprocess(Image.new(mode, (40, 40)), Preprocessing(32))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda i: f"{i.shape}-{i.dtype}",
)
def test_other_arrays_are_refused(image: Any) -> None:
    with pytest.raises(SourceError, match=r"expected an image \(H, W, 3\)"):
        preprocess(image, Preprocessing(32))


@pytest.mark.parametrize("roi", [(0, 0, 51, 40), (0, 0, 50, 41), (1, 0, 50, 40), (60, 60, 1, 1)])
def test_a_region_that_leaves_the_image_is_refused(roi: tuple[int, int, int, int]) -> None:
    with pytest.raises(SourceError, match="leaves the image of 50x40"):
        preprocess(noise(40, 50), Preprocessing(32, roi))


@pytest.mark.parametrize("area", [(0, 0, 51, 40), (0, 0, 50, 41), (49, 39, 2, 1)])
def test_an_ignored_area_that_leaves_the_image_is_refused(area: tuple[int, int, int, int]) -> None:
    with pytest.raises(SourceError, match=r"ignored rectangle .* leaves the image of 50x40"):
        preprocess(noise(40, 50), Preprocessing(32, ignore=(area,)))


def test_a_region_may_touch_the_border() -> None:
    assert preprocess(noise(40, 50), Preprocessing(32, (10, 8, 40, 32))).shape == (32, 32, 3)


def test_nothing_outside_the_region_has_any_influence() -> None:
    image, how = noise(90, 120), Preprocessing(32, (20, 10, 80, 70))
    painted = np.full_like(image, 255)
    painted[10:80, 20:100] = image[10:80, 20:100]
    np.testing.assert_array_equal(preprocess(image, how), preprocess(painted, how))


@pytest.mark.parametrize("flipped", [False, True])
def test_a_picture_of_the_models_size_comes_back_as_pillow_would_give_it(flipped: bool) -> None:
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    image = image[:, ::-1] if flipped else image
    made = preprocess(image, Preprocessing(64))
    np.testing.assert_array_equal(made, preprocess(Image.fromarray(image), Preprocessing(64)))
    assert made.flags["C_CONTIGUOUS"]
    assert not np.shares_memory(made, image), "a camera's buffer may be written again"


def test_a_picture_without_tiles_is_one_piece_which_is_itself_prepared() -> None:
    image, how = noise(40, 50), Preprocessing(32, (5, 4, 40, 30))
    pieces = pieces_of(image, how)
    assert (len(pieces), pieces.grid, pieces.pose) == (1, None, None)
    np.testing.assert_array_equal(pieces[0], preprocess(image, how))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            pieces[index]
    assert [piece is pieces[0] for piece in pieces.some()] == [True]


def test_tiles_are_cut_from_the_region_and_a_few_are_spread_over_it() -> None:
    image, how = noise(160, 100), Preprocessing(32, (4, 6, 96, 150), tiles=(40, 10))
    pieces = pieces_of(image, how)
    assert len(pieces) == 15
    for index in (0, 7, 14):
        x, y, w, h = pieces.grid.box(index) if pieces.grid else (0, 0, 0, 0)
        assert (x >= 4, y >= 6, x + w <= 100, y + h <= 156) == (True,) * 4
        np.testing.assert_array_equal(pieces[index], preprocess(image[y : y + h, x : x + w], Preprocessing(32)))
    chosen = [next(i for i in range(15) if np.array_equal(pieces[i], piece)) for piece in pieces.some()]
    assert chosen == [0, 2, 4, 5, 7, 9, 10, 12, 14]


@pytest.mark.parametrize("image", [noise(30, 100)[..., 0], noise(160, 100).astype(np.float32), noise(155, 100)])
def test_tiles_of_what_is_no_such_picture_are_refused_at_once(image: Any) -> None:
    with pytest.raises(SourceError, match=r"expected an image|leaves the image of 100x155"):
        pieces_of(image, Preprocessing(32, (4, 6, 96, 150), tiles=(40, 10)))


def test_ignored_areas_are_painted_over_to_their_last_pixel_and_no_farther() -> None:
    image = np.full((64, 64, 3), 200, np.uint8)
    painted = preprocess(image, Preprocessing(64, ignore=((10, 20, 5, 7), (60, 60, 4, 4))))
    changed = (painted != 200).any(axis=2)
    expected = np.zeros((64, 64), bool)
    expected[20:27, 10:15] = expected[60:, 60:] = True
    np.testing.assert_array_equal(changed, expected)
    inside = preprocess(image, Preprocessing(32, (12, 22, 32, 32), ignore=((10, 20, 5, 7),)))
    assert (inside != 200).any(axis=2).nonzero()[0].max() == 4
    assert (inside != 200).any(axis=2).nonzero()[1].max() == 2
