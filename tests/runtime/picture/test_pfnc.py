"""Every layout against one formula: a pixel is so many bits at a place that the standard names."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.errors import SourceError
from csflow.runtime.picture.pfnc import PixelFormat, unpack

ALL = "Mono8 Mono10 Mono12 Mono14 Mono16 Mono10p Mono12p Mono14p Mono10Packed Mono12Packed".split()
RANDOM = np.random.default_rng(15)


def bits_of(data: NDArray[np.uint8], places: list[int]) -> int:
    """The number whose bit i stands at bit places[i] of the data, counted from the lowest bit of the first byte."""
    stream = np.unpackbits(data, bitorder="little")
    return sum(int(stream[place]) << i for i, place in enumerate(places))


def places_of(name: PixelFormat, number: int) -> list[int]:
    """Where the bits of a row's sample stand, lowest first."""
    if name.packing == "p" or name.bits == 8:
        return [number * name.bits + i for i in range(name.bits)]
    if name.packing == "":
        return [16 * number + i for i in range(name.bits)]
    pair, second = divmod(number, 2)
    low = name.bits - 8
    between = [24 * pair + 8 + 4 * second + i for i in range(low)]
    return between + [24 * pair + 16 * second + i for i in range(8)]


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("text", ALL)
def test_a_sample_is_its_bits(text: str, padding: int) -> None:
    name = PixelFormat.parse(text)
    bits = name.bits
    width, height = 8, 3
    stride = name.row_bits(width) // 8 + padding
    data = RANDOM.integers(0, 256, stride * height, dtype=np.uint8)
    if not name.packing and bits > 8:  # the high bits of unpacked samples are 0
        data = (data.reshape(-1, stride) & np.resize([255, (1 << bits - 8) - 1], stride)).astype(np.uint8).ravel()
    got = unpack(data, name, (width, height), padding)
    expected = [
        [bits_of(data[row * stride :], places_of(name, column)) for column in range(width)] for row in range(height)
    ]
    assert got.tolist() == expected
    assert got.dtype == (np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("text", ["Mono10p", "BayerRG12p", "Mono14p", "Mono10Packed", "BayerGB12Packed"])
def test_an_odd_width_ends_where_its_bits_end(text: str) -> None:
    name = PixelFormat.parse(text)
    width, height = 5, 3
    data = RANDOM.integers(0, 256, -(-name.row_bits(width) * height // 8) + 4, dtype=np.uint8)
    got = unpack(data, name, (width, height)).ravel()
    if name.packing == "p":
        expected = [bits_of(data, places_of(name, number)) for number in range(width * height)]
    else:
        rows = [data[row * 8 :] for row in range(height)]
        expected = [bits_of(row, places_of(name, number)) for row in rows for number in range(width)]
    assert got.tolist() == expected


def test_the_higher_byte_may_come_first_and_colours_are_samples() -> None:
    name = PixelFormat.parse("RGB16")
    data = np.arange(24, dtype=np.uint8)
    got = unpack(data, name, (2, 2), big_endian=True)
    assert got.shape == (2, 6)
    assert got[0, 0] == 1
    assert got[1, 5] == (22 << 8) + 23


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mono12p", PixelFormat("Mono", 12, "p")),
        ("BayerBG10Packed", PixelFormat("BayerBG", 10, "Packed")),
        ("RGB8Packed", PixelFormat("RGB", 8)),
        ("YUV422_8_UYVY", PixelFormat("YUV", 8, "UYVY")),
        ("YUV422_8", PixelFormat("YUV", 8)),
        ("YCbCr601_422_8", PixelFormat("YCbCr601", 8)),
        ("YCbCr709_422_8_CbYCrY", PixelFormat("YCbCr709", 8, "UYVY")),
    ],
)
def test_a_name_says_how_pixels_are_laid_out(text: str, expected: PixelFormat) -> None:
    assert PixelFormat.parse(text) == expected


@pytest.mark.parametrize("text", ["Mono11", "Mono14Packed", "RGB12Packed", "Coord3D_ABC32f", "mono8", "0xabc", ""])
def test_a_name_that_is_not_read_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="which csflow does not read"):
        PixelFormat.parse(text)


def test_too_few_bytes_and_padded_rows_of_broken_bytes_are_refused() -> None:
    with pytest.raises(SourceError, match="came with 11 bytes of 12"):
        unpack(np.zeros(11, np.uint8), PixelFormat.parse("Mono8"), (4, 3))
    with pytest.raises(SourceError, match="end inside a byte"):
        unpack(np.zeros(99, np.uint8), PixelFormat.parse("Mono12p"), (5, 3), padding=1)
    last_row_without_padding = unpack(np.arange(11, dtype=np.uint8), PixelFormat.parse("Mono8"), (3, 3), padding=1)
    assert last_row_without_padding.tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]


@pytest.mark.parametrize("text", [text for text in ALL if text != "Mono14p"])
def test_harvesters_unpacks_to_the_same_levels(text: str) -> None:
    # But for Mono14p: findings/harvesters-mono14p.sh.
    pfnc = pytest.importorskip("harvesters.util.pfnc", reason="the extra genicam is not installed")
    name = PixelFormat.parse(text)
    data = RANDOM.integers(0, 256, name.row_bits(40) // 8, dtype=np.uint8)
    if not name.packing and name.bits > 8:
        data[1::2] &= (1 << name.bits - 8) - 1
    theirs = pfnc.Dictionary.get_proxy(text).expand(data)
    np.testing.assert_array_equal(unpack(data, name, (40, 1))[0], theirs)
