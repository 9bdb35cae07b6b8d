"""Colours from samples: planes that a mosaic must give back exactly, and YUV against the formula of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError
from csflow.runtime.picture.colour import grey_or_rgb
from csflow.runtime.picture.pfnc import PixelFormat

COLOUR = (200, 120, 40)
PLACES = {"RG": ("RG", "GB"), "GR": ("GR", "BG"), "GB": ("GB", "RG"), "BG": ("BG", "GR")}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("pattern", PLACES)
def test_a_mosaic_of_one_colour_is_that_colour_everywhere(pattern: str, deep: bool) -> None:
    pytest.importorskip("cv2", reason="the extra camera is not installed")
    factor, kind = (200, np.uint16) if deep else (1, np.uint8)
    values = dict(zip("RGB", COLOUR, strict=True))
    cell = np.array([[values[letter] for letter in row] for row in PLACES[pattern]], kind) * factor
    samples = np.tile(cell, (4, 5)).astype(kind)
    rgb = grey_or_rgb(samples, PixelFormat.parse(f"Bayer{pattern}{16 if deep else 8}"))
    assert rgb.shape == (8, 10, 3)
    assert rgb.dtype == kind
    assert (rgb == np.array(COLOUR, kind) * factor).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("RGB8", [[1, 2, 3], [4, 5, 6]]), ("BGR8", [[3, 2, 1], [6, 5, 4]])],
)
def test_channels_come_in_the_order_of_the_name(text: str, expected: list[list[int]]) -> None:
    samples: NDArray[np.uint8] = np.array([[1, 2, 3, 4, 5, 6]], np.uint8)
    assert grey_or_rgb(samples, PixelFormat.parse(text))[0].tolist() == expected
    four = np.array([[1, 2, 3, 99, 4, 5, 6, 99]], np.uint8)
    assert grey_or_rgb(four, PixelFormat.parse(text.replace("8", "a8")))[0].tolist() == expected


@pytest.mark.parametrize("order", ["", "_UYVY"])
@pytest.mark.parametrize(
    ("text", "red", "blue", "studio"),
    [("YUV", 0.299, 0.114, False), ("YCbCr601_", 0.299, 0.114, True), ("YCbCr709_", 0.2126, 0.0722, True)],
)
def test_yuv_is_the_inverse_of_the_standards_formula(
    text: str, red: float, blue: float, studio: bool, order: str
) -> None:
    luma = red * COLOUR[0] + (1 - red - blue) * COLOUR[1] + blue * COLOUR[2]
    cb, cr = (COLOUR[2] - luma) / (2 * (1 - blue)), (COLOUR[0] - luma) / (2 * (1 - red))
    y, u, v = (
        (16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255) if studio else (luma, 128 + cb, 128 + cr)
    )
    cell = [u, y, v, y] if order else [y, u, y, v]
    samples = np.tile(np.rint(np.array(cell)).astype(np.uint8), (2, 3))
    rgb = grey_or_rgb(samples, PixelFormat.parse(f"{text}422_8{order}"))
    assert rgb.shape == (2, 6, 3)
    assert np.abs(rgb.astype(int) - COLOUR).max() <= 2


def test_what_cannot_be_a_mosaic_or_pairs_is_refused() -> None:
    pytest.importorskip("cv2", reason="the extra camera is not installed")
    with pytest.raises(SourceError, match="2 x 2"):
        grey_or_rgb(np.zeros((1, 8), np.uint8), PixelFormat.parse("BayerRG8"))
    with pytest.raises(SourceError, match="even width"):
        grey_or_rgb(np.zeros((2, 6), np.uint8), PixelFormat.parse("YUV422_8"))
