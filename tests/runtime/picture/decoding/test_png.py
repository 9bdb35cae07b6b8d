"""Large PNGs in bands: the very pixels that Pillow decodes whole, and what is damaged is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from csflow.runtime.errors import DataError
from csflow.runtime.picture import images
from csflow.runtime.picture.decoding.png import PngRows
from csflow.runtime.picture.images import image_size, read_picture

HEIGHT, WIDTH = 37, 53
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGE_PIXELS", 0)
    monkeypatch.setattr(images, "BAND_PIXELS", 5 * WIDTH)


def content(mode: str, kind: str) -> NDArray[np.uint8 | np.uint16]:
    """Noise, ramps and repeated rows: between them an encoder takes every filter."""
    deep = mode == "I;16"
    shape = (HEIGHT, WIDTH) if CHANNELS[mode] == 1 else (HEIGHT, WIDTH, CHANNELS[mode])
    y, x = np.indices(shape)[:2]
    drawn = {
        "noise": np.random.default_rng(1).integers(0, 1 << (16 if deep else 8), shape),
        "ramp": (x * (701 if deep else 3) + y * y * 2),
        "rows": x * x + 0 * y,
    }[kind]
    return drawn.astype(np.uint16 if deep else np.uint8)


def written(path: Path, mode: str, kind: str) -> None:
    Image.fromarray(content(mode, kind)).save(path)


@pytest.mark.parametrize("kind", ["noise", "ramp", "rows"])
@pytest.mark.parametrize("mode", CHANNELS)
def test_bands_are_the_picture(tmp_path: Path, mode: str, kind: str) -> None:
    written(tmp_path / "a.png", mode, kind)
    with (tmp_path / "a.png").open("rb") as file:
        rows = PngRows.of(file)
        assert rows is not None
        assert [band.height for band in rows.bands(file, 5)] == [5] * 7 + [2]
    found = read_picture(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
        expected = np.asarray(picture if mode == "I;16" else picture.convert("RGB"))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def filtered(rows: NDArray[np.uint8]) -> bytes:
    """RGB rows by each of the five filters in turn (ISO/IEC 15948, 9.2)."""
    out, above = [], np.zeros_like(rows[0])
    for number, row in enumerate(rows):
        left, corner = np.zeros_like(row), np.zeros_like(row)
        left[1:], corner[1:] = row[:-1], above[:-1]
        a, b, c = (part.astype(int) for part in (left, above, corner))
        p = a + b - c
        near = [abs(p - part) for part in (a, b, c)]
        paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), a, np.where(near[1] <= near[2], b, c))
        guess = (0 * a, a, b, (a + b) // 2, paeth)[number % 5]
        out.append(bytes([number % 5]) + (row.astype(int) - guess).astype(np.uint8).tobytes())
        above = row
    return b"".join(out)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_every_filter_goes_on_over_the_border_of_bands(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    data = zlib.compress(filtered(pixels))
    pieces = [chunk(b"IDAT", data[i : i + 700]) for i in range(0, len(data), 700)]
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *pieces, chunk(b"IDAT", b""), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"".join(parts))
    for rows in (1, 4, 5, 100):
        with (tmp_path / "a.png").open("rb") as file:
            png = PngRows.of(file)
            assert png is not None
            found = np.concatenate([np.asarray(band) for band in png.bands(file, rows)])
        np.testing.assert_array_equal(found, pixels)


def test_damage_is_refused_as_pillow_refuses_it(tmp_path: Path) -> None:
    written(tmp_path / "a.png", "RGB", "noise")
    whole = (tmp_path / "a.png").read_bytes()
    for end in (len(whole) // 3, len(whole) - 40):
        (tmp_path / "a.png").write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"a\.png cannot be decoded \(.*truncated"):
            read_picture(tmp_path / "a.png")
    for at in (60, len(whole) // 2):
        broken = bytearray(whole)
        broken[at] ^= 1
        (tmp_path / "a.png").write_bytes(broken)
        with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
            read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "P"])
def test_what_has_other_rows_goes_another_way(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(content("L", "ramp")).convert(mode)
    grey.save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        assert PngRows.of(file) is None
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.asarray(grey.convert("RGB")))


def test_interlaced_rows_do_not_follow_one_another() -> None:
    begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 1))
    assert PngRows.of(io.BytesIO(begin)) is None
    assert PngRows.of(io.BytesIO(begin[:20])) is None


@pytest.mark.parametrize("behind", [False, True])
def test_orientation_before_and_behind_the_pixels(tmp_path: Path, behind: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(content("RGB", "ramp")).save(buffer, "PNG", exif=b"" if behind else exif.tobytes())
    data = buffer.getvalue()
    if behind:
        tiff = exif.tobytes().removeprefix(b"Exif\x00\x00")
        data = data[:-12] + chunk(b"eXIf", tiff) + data[-12:]
    (tmp_path / "a.png").write_bytes(data)
    assert image_size(tmp_path / "a.png") == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.rot90(content("RGB", "ramp"), -1))


def test_the_size_of_a_png_is_told_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a.png", "RGB", "ramp")

    def load(_: PngImageFile) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(PngImageFile, "load", load)
    assert image_size(tmp_path / "a.png") == (WIDTH, HEIGHT)
