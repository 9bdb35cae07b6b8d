"""Sizes of pictures: which are taken for those that a bundle was made with, and which a square input squeezes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.pictures import PictureSizes, SizeRule, squeezed


def trained_on(bundle: Bundle, *sizes: tuple[int, int]) -> Bundle:
    training = {"pictures": schema.to_mapping(PictureSizes.of(sizes))}
    return Bundle(bundle.path, dataclasses.replace(bundle.manifest, provenance={"training": training}))


def test_a_bundle_that_knows_no_sizes_takes_every_picture(make_bundle: Callable[..., Bundle]) -> None:
    assert SizeRule(make_bundle()).misfit((9, 5)) is None


def test_ranges_hold_the_least_and_the_largest_of_each() -> None:
    seen = PictureSizes.of([(200, 100), (100, 300), (150, 150)])
    assert seen == PictureSizes((100, 200), (100, 300), (1 / 3, 2.0))
    assert str(seen) == "100 to 200 x 100 to 300"
    assert str(PictureSizes.of([(64, 48)])) == "64 x 48"
    parts = [PictureSizes.of([(200, 100), (150, 150)]), PictureSizes.of([(100, 300)])]
    assert PictureSizes.joined(parts) == PictureSizes.joined(parts[::-1]) == seen
    for ranges in (((0, 1), (1, 1), (1.0, 1.0)), ((2, 1), (1, 1), (1.0, 1.0)), ((1, 1), (1, 1), (2.0, 1.0))):
        with pytest.raises(ValueError, match="sizes must be positive"):
            PictureSizes(*ranges)


@pytest.mark.parametrize(
    ("size", "whole", "region"),
    [
        ((640, 480), None, None),
        ((1280, 960), None, "more than"),
        ((320, 240), None, "less of"),
        ((319, 240), "less than half", "less of"),
        ((648, 480), None, "more than"),
        ((660, 480), "another aspect", "another aspect"),
        ((480, 640), "another aspect", "another aspect"),
    ],
)
def test_a_picture_of_another_aspect_or_much_smaller_is_another_picture(
    size: tuple[int, int], whole: str | None, region: str | None, make_bundle: Callable[..., Bundle]
) -> None:
    for name, roi, expected in (("a", None, whole), ("b", (0, 0, 64, 64), region)):
        why = SizeRule(trained_on(make_bundle(name, roi=roi), (640, 480))).misfit(size)
        assert (why is None) == (expected is None), why
        assert expected is None or expected in (why or "")


@pytest.mark.parametrize(
    ("sizes", "roi", "said"),
    [
        ([(200, 100)], None, None),
        ([(201, 100)], None, "pictures of 201x100 pixels are squeezed"),
        ([(200, 5000)] * 2, None, "pictures of 200x5000 pixels are squeezed"),
        ([(64, 64), (64, 200), (64, 64)], None, "1 of 3 pictures, such as those of 64x200 pixels, are squeezed"),
        ([(5000, 200)], (0, 0, 200, 200), None),
        ([(640, 480)], (0, 0, 600, 100), "a region of 600x100 pixels is squeezed"),
        ([], None, None),
    ],
)
def test_what_is_far_from_square_is_told_with_what_to_do(
    sizes: list[tuple[int, int]], roi: tuple[int, int, int, int] | None, said: str | None
) -> None:
    line = squeezed(sizes, Preprocessing(64, roi))
    assert (line is None) == (said is None)
    if line is not None:
        assert said is not None
        assert line.startswith(said)
        assert "--roi" in line
        assert "tiles" in line
