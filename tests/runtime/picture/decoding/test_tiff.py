"""TIFFs as other programs write them: read to the bit, or refused with what they hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.errors import DataError
from csflow.runtime.picture.decoding.tiff import tiff_words
from csflow.runtime.picture.images import read_picture

DRAW = np.random.default_rng(0)
GREY, DEEP = DRAW.integers(0, 256, (37, 53), np.uint8), DRAW.integers(0, 1 << 16, (37, 53), np.uint16)
COLOUR = DRAW.integers(0, 256, (37, 53, 3), np.uint8)


def written(
    pixels: NDArray[Any], order: str = "<", *, planar: bool = False, tile: int = 0, deflate: bool = False, **tags: int
) -> bytes:
    """A TIFF 6.0 of (H, W) or (H, W, C); further tags by number, as t338=1."""
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, samples = planes.shape
    chunks = [zlib.compress(block) if deflate else block for block in _blocks(planes, order, planar, tile)]
    ends = np.cumsum([8, *map(len, chunks)]).tolist()
    sizes = [len(chunk) for chunk in chunks]
    lines = {256: [width], 257: [height], 258: [8 * pixels.itemsize] * samples, 259: [8 if deflate else 1]}
    lines |= {262: [2 if samples > 2 else 1], 277: [samples], 284: [2 if planar else 1]}
    lines |= (
        {322: [tile], 323: [tile], 324: ends[:-1], 325: sizes} if tile else {273: ends[:-1], 278: [height], 279: sizes}
    )
    lines |= {int(name[1:]): [value] for name, value in tags.items()}
    more, directory = ends[-1] + 2 + 12 * len(lines) + 4, struct.pack(order + "H", len(lines))
    tail = b""
    for tag, values in sorted(lines.items()):
        packed = struct.pack(f"{order}{len(values)}L", *values)
        place = packed if len(values) == 1 else struct.pack(order + "L", more + len(tail))
        directory += struct.pack(order + "HHL", tag, 4, len(values)) + place
        tail += packed if len(values) > 1 else b""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "L", ends[-1])
    return head + b"".join(chunks) + directory + bytes(4) + tail


def _blocks(planes: NDArray[Any], order: str, planar: bool, tile: int) -> Iterator[bytes]:
    height, width, samples = planes.shape
    ordered = planes.astype(planes.dtype.newbyteorder(order))
    for plane in np.split(ordered, samples, axis=2) if planar else [ordered]:
        for top in range(0, height, tile or height):
            for left in range(0, width, tile or width):
                part = plane[top : top + (tile or height), left : left + (tile or width)]
                room = [(0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)] if tile else [(0, 0)] * 3
                yield np.pad(part, room).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("tile", [0, 16])
def test_strips_tiles_planes_and_both_byte_orders_come_back_exactly(
    order: str, deflate: bool, tile: int, tmp_path: Path
) -> None:
    path, how = tmp_path / "a.tif", {"tile": tile, "deflate": deflate}
    alpha = np.full_like(GREY, 200)
    for pixels, more in (
        (COLOUR, {}),
        (COLOUR, {"planar": True}),
        (GREY, {}),
        (np.dstack([GREY, alpha]), {"t338": 2}),
        (np.dstack([COLOUR, alpha]), {"t338": 2}),
    ):
        path.write_bytes(written(pixels, order, **how, **more))
        expected = (
            pixels[..., :3] if pixels.ndim == 3 and pixels.shape[2] > 2 else np.repeat(GREY[..., None], 3, axis=2)
        )
        np.testing.assert_array_equal(read_picture(path), expected)
    path.write_bytes(written(DEEP, order, **how))
    np.testing.assert_array_equal(read_picture(path), DEEP)


def test_grey_that_was_multiplied_by_its_alpha_is_divided_by_it(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(written(np.dstack([GREY // 2, np.full_like(GREY, 255)]), t338=1))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), np.repeat(GREY[..., None] // 2, 3, axis=2))


@pytest.mark.parametrize(
    ("pixels", "tags", "words"),
    [
        (
            np.dstack([DEEP, DEEP]),
            {"t338": 2},
            "a TIFF of 2 samples of 16 bits a pixel, compression 1, which is not read",
        ),
        (DEEP.astype(np.float64), {"t339": 3}, "a TIFF of 1 sample of 64 floating-point bits"),
        (DEEP.astype(np.float32), {"t339": 3}, "not whole levels from 0 to 65535: convert it to 16-bit grey"),
        (np.dstack([DEEP] * 3), {}, "more than 8 bits a channel, in colour"),
        (np.dstack([DEEP] * 3), {"planar": True}, "more than 8 bits a channel, in colour"),
        (np.dstack([DEEP] * 4), {"t338": 2}, "more than 8 bits a channel, in colour"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_not_read_is_named(
    pixels: NDArray[Any], tags: dict[str, Any], words: str, order: str, tmp_path: Path
) -> None:
    (tmp_path / "a.tif").write_bytes(written(pixels, order, **tags))
    with pytest.raises(DataError, match=words):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("data", [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0" + b"\xff" * 40, b"\x89PNG\r\n\x1a\n"])
def test_what_is_damaged_or_something_else_is_not_described(data: bytes) -> None:
    assert tiff_words(io.BytesIO(data)) is None


@pytest.mark.filterwarnings("default")
def test_a_tiff_that_ends_in_its_directory_is_no_picture_and_nothing_is_warned_of(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0garbage")
    with pytest.raises(DataError, match=r"a\.tif is not a picture that can be read: remove or replace it"):
        read_picture(tmp_path / "a.tif")
    assert not recwarn.list
