"""Pictures of one brightness: the formula, its bound, and what must still see how bright a picture was."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.line.frame_health import HealthLimits, HealthReference, PictureHealth
from csflow.runtime.picture.exposure import as_taken, exposed, median_level
from csflow.runtime.picture.preprocess import pieces_of, preprocess
from csflow.runtime.synthetic.product import part_at

LEVEL = 110
HOW = Preprocessing(64, exposure=LEVEL)


def part(light: float = 1.0) -> NDArray[np.uint8]:
    image = part_at(3, 0, 0.0, (96, 80)).image * light
    return image.round().clip(0, 255).astype(np.uint8)


def picture(values: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2))


@given(st.integers(1, 254), st.integers(0, 2**32 - 1))
def test_the_median_comes_to_the_level_and_every_sample_goes_with_it(level: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    low = int(draw.integers(16, 200))
    values = draw.integers(low, int(draw.integers(low, 255)) + 1, (7, 9)).astype(np.uint8)
    before = picture(values)
    median = median_level(before, level)
    assert median == np.sort(values.ravel())[(values.size - 1) // 2]
    after = np.asarray(exposed(before, level, median))
    assert median_level(Image.fromarray(after), level) == level
    for x, y in zip(values.ravel(), after[..., 0].ravel(), strict=True):
        assert y == min(255, int(Fraction(level * int(x), median) + Fraction(1, 2)))


def test_the_channels_have_one_median_and_one_gain() -> None:
    image = np.zeros((4, 4, 3), np.uint8) + np.array([20, 40, 60], np.uint8)
    assert median_level(Image.fromarray(image), 80) == 40
    np.testing.assert_array_equal(np.asarray(exposed(Image.fromarray(image), 80, 40))[0, 0], [40, 80, 120])


@pytest.mark.parametrize(("level", "least"), [(1, 1), (16, 1), (17, 2), (110, 7), (254, 16)])
def test_a_picture_without_light_is_made_brighter_by_sixteen_times_at_most(level: int, least: int) -> None:
    dark = Image.new("RGB", (8, 8))
    assert median_level(dark, level) == least
    assert not np.asarray(exposed(dark, level, least)).any()
    assert np.asarray(exposed(Image.new("RGB", (1, 1), (1, 1, 1)), level, least)).max() <= 16


def test_one_part_at_three_exposures_is_one_picture() -> None:
    usual = preprocess(part(), HOW).astype(int)
    assert np.abs(preprocess(part(), Preprocessing(64)).astype(int) - usual).max() > 20
    for light in (0.5, 0.8):
        assert np.abs(preprocess(part(light), HOW).astype(int) - usual).max() <= 2


def test_only_the_region_counts_and_the_window_comes_first() -> None:
    levels = np.full((80, 80), 60_000, np.uint16)
    levels[8:72, 8:72] = np.random.default_rng(1).integers(500, 1500, (64, 64))
    how = Preprocessing(64, (8, 8, 64, 64), window=(0, 4095), exposure=LEVEL)
    made = preprocess(levels, how)
    eight = preprocess(levels, Preprocessing(64, (8, 8, 64, 64), window=(0, 4095)))
    # Of the model's own size, so that nothing is resized in between.
    np.testing.assert_array_equal(made, preprocess(eight, HOW))
    assert abs(int(np.median(made)) - LEVEL) <= 1


def test_how_bright_a_picture_was_is_not_lost() -> None:
    dim = part(0.4)
    (taken,) = pieces_of(dim, HOW).as_taken()
    assert np.abs(taken.astype(int) - preprocess(dim, Preprocessing(64))).max() <= 1
    plain = pieces_of(dim, Preprocessing(64))
    assert [piece is plain.image for piece in plain.as_taken()] == [True]
    image = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    # What a gain below 1 gave is off by half a step of it at most.
    assert np.abs(as_taken(np.asarray(exposed(Image.fromarray(image), 60, 90)), 60, 90).astype(int) - image).max() <= 1


@pytest.mark.parametrize(("level", "fault"), [(2, "black"), (253, "saturated")])
def test_a_covered_lens_and_a_blinded_sensor_are_still_seen(level: int, fault: str) -> None:
    health = PictureHealth(HealthLimits(), HealthReference.of([preprocess(part(), HOW)]))
    noise = np.random.default_rng(0).integers(-2, 3, (96, 80, 3))
    pieces = pieces_of((level + noise).clip(0, 255).astype(np.uint8), HOW)
    assert health.problem(*pieces.some()) is None or fault not in str(health.problem(*pieces.some()))
    found = health.problem(*pieces.some(), taken=pieces.as_taken())
    assert found is not None
    assert found[0] == fault


def test_a_dim_picture_is_not_called_blurred() -> None:
    health = PictureHealth(HealthLimits(), HealthReference.of([preprocess(part(), HOW)]))
    pieces = pieces_of(part(0.3), HOW)
    assert health.problem(*pieces.some(), taken=pieces.as_taken()) is None
    assert health.problem(*pieces.as_taken()) is not None


@pytest.mark.parametrize("other", [{"exposure": 0}, {"exposure": 255}, {"tiles": (64, 8)}, {"ignore": ((0, 0, 9, 9),)}])
def test_what_no_bundle_has(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exposure must be 1 to 254, without ignored areas and tiles"):
        Preprocessing(64, **{"exposure": LEVEL, **other})
