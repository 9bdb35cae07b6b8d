"""Pictures on disk: what is listed, what is decoded, and that damage is a DataError naming the file."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.images import (
    IMAGE_SUFFIXES,
    LIMIT_VARIABLE,
    UNREAD_SUFFIXES,
    image_size,
    list_images,
    read_image,
    unread,
)
from csflow.runtime.picture.jpeg import decode_jpeg
from csflow.runtime.picture.orientation import upright
from csflow.runtime.picture.preprocess import preprocess

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(format_: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(buffer, format_)
    return buffer.getvalue()


def test_pictures_are_listed_by_name_without_the_rest(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt", "c.tiff", "d.JFIF"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.tiff", "d.JFIF"]


@pytest.mark.parametrize("name", ["absent", "file"])
def test_listing_what_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"cannot list .*{name}"):
        list_images(tmp_path / name)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".pgm"}))
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path)
    image = read_image(path)
    np.testing.assert_array_equal(image, RGB)
    assert image.flags.writeable


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_eight_bit_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG", mode))
    expected = np.asarray(Image.fromarray(RGB).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize(("format_", "mode"), [("PNG", "I;16"), ("TIFF", "F"), ("TIFF", "I;16")])
def test_deeper_pictures_are_refused(tmp_path: Path, format_: str, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.x", format_)
    with pytest.raises(DataError, match=r"a\.x has more than 8 bits a channel"):
        read_image(tmp_path / "a.x")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(tmp_path)


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with the pixels of another."""
    data = bytearray(encoded("PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_more_pixels_than_the_limit_are_refused_by_the_header_without_a_warning_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    for width, height in ((65000, 65000), (16385, 16384)):
        path.write_bytes(claiming(width, height))
        for read in (read_image, image_size):
            with pytest.raises(DataError, match=rf"claims {width}x{height} pixels, 268.4.* million .*--max-megapixels"):
                read(path)
    # A line camera's picture, which Pillow warns about: the pixels are missing, but nothing else is wrong.
    path.write_bytes(claiming(16384, 8192))
    assert image_size(path) == (16384, 8192)
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setenv(LIMIT_VARIABLE, "100")
    with pytest.raises(DataError, match="100 million"):
        read_image(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "4000")
    path.write_bytes(claiming(60000, 60000))
    assert image_size(path) == (60000, 60000)
    monkeypatch.setenv(LIMIT_VARIABLE, "many")
    with pytest.raises(ConfigError, match="whole number of megapixels"):
        read_image(path)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_picture_beyond_what_pillow_takes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)
    roi = preprocess(RGB, Preprocessing(32, (1, 2, 20, 15)))
    np.testing.assert_array_equal(roi, preprocess(RGB[2:17, 1:21], Preprocessing(32)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_turned_upright_as_their_exif_says(tmp_path: Path, format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.img"
    # Smooth, so that a lossy format changes little.
    ramp = np.add.outer(np.arange(24) * 6, np.arange(40) * 2).astype(np.uint8)
    stored = np.stack([ramp, ramp // 2, 255 - ramp], axis=2)
    Image.fromarray(stored).save(path, format_, exif=exif, quality=95)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    assert image_size(path) == (expected.shape[1], expected.shape[0])
    np.testing.assert_array_equal(read_image(path), expected)
    if format_ == "JPEG":
        pytest.importorskip("simplejpeg", reason="csflow[camera] is not installed")
        np.testing.assert_allclose(decode_jpeg(path.read_bytes()).astype(int), expected.astype(int), atol=1)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grey_tiff_that_is_stored_turned_is_not_torn(tmp_path: Path, orientation: int, compression: str) -> None:
    grey = RGB[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "a.tiff", tiffinfo={274: orientation}, compression=compression)
    expected = upright(np.dstack([grey] * 3), orientation)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tiff"), expected)


def test_a_tiff_of_several_pages_is_refused_but_not_for_a_thumbnail(tmp_path: Path) -> None:
    page, path = Image.fromarray(RGB), tmp_path / "a.tiff"
    page.save(path, save_all=True, append_images=[page, page])
    with pytest.raises(DataError, match="has several pages"):
        read_image(path)
    small = page.resize((15, 10))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(path, save_all=True, append_images=[small])
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == 2
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_an_animation_is_refused_as_nobody_would_see_its_other_frames(tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"a.{format_.lower()}"
    Image.fromarray(RGB).save(path, format_, save_all=True, append_images=[Image.fromarray(RGB[::-1])], lossless=True)
    for read in (read_image, image_size):
        with pytest.raises(DataError, match="has several pages or frames"):
            read(path)


@pytest.mark.parametrize(("kind", "refused"), [(0, False), (0x010001, False), (0x020002, True), (0x020003, True)])
def test_a_jpeg_with_a_second_view_is_refused_but_not_for_a_gain_map_or_thumbnail(
    tmp_path: Path, kind: int, refused: bool
) -> None:
    path, view = tmp_path / "a.jpg", Image.fromarray(RGB)
    view.save(path, "MPO", save_all=True, append_images=[view])
    with Image.open(path) as picture:
        second = picture.mpinfo[0xB002][1]  # type: ignore[attr-defined]
    entry = struct.pack("<II", second["Size"], second["DataOffset"])
    data = path.read_bytes()
    assert data.count(struct.pack("<I", 0) + entry) == 1
    path.write_bytes(data.replace(struct.pack("<I", 0) + entry, struct.pack("<I", kind) + entry))
    if not refused:
        assert read_image(path).shape == RGB.shape
        return
    with pytest.raises(DataError, match="has several pages or frames"):
        read_image(path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r"a\.jpg is empty: a copy went wrong, remove or replace it"):
        image_size(tmp_path / "a.jpg")


def test_pictures_of_formats_that_csflow_does_not_read_are_counted(tmp_path: Path) -> None:
    names = ("a.png", "b.HEIC", "c.gif", ".d.heic", "notes.txt", "b.tmp")
    assert unread(tmp_path / name for name in names) == (
        f"2 pictures are of a format that csflow does not read and passed over, for example {tmp_path / 'b.HEIC'}: "
        "save them as PNG or JPEG"
    )
    assert unread([tmp_path / "a.png", tmp_path / "b.tmp"]) is None
    assert not UNREAD_SUFFIXES & IMAGE_SUFFIXES


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"])
def test_damaged_files_decode_or_are_named(tmp_path: Path, format_: str) -> None:
    draw = random.Random(format_)
    whole = encoded(format_)
    refused = 0
    for number in range(300):
        damaged = bytearray(whole[: draw.randrange(len(whole))] if number % 3 == 0 else whole)
        for _ in range(draw.randint(1, 6) if number % 3 else 0):
            damaged[draw.randrange(min(len(damaged), draw.choice((64, len(damaged)))))] = draw.randrange(256)
        path = tmp_path / f"{number}.img"
        path.write_bytes(damaged)
        try:
            assert read_image(path).shape[2] == 3
        except DataError as error:
            refused += 1
            assert path.name in str(error)  # noqa: PT017 - most files raise, some decode
    assert refused > 50


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_sixteen_bit_colour_is_refused_though_pillow_calls_it_rgb(tmp_path: Path, suffix: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV writes the pictures: csflow[camera]")
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), RGB.astype(np.uint16) * 256)
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        read_image(path)


def test_other_formats_are_not_decoded_whatever_their_suffix(tmp_path: Path) -> None:
    for format_ in ("EPS", "GIF"):
        (tmp_path / "a.png").write_bytes(encoded(format_))
        with pytest.raises(DataError, match="is not a picture"):
            read_image(tmp_path / "a.png")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="pipe or device"):
        read_image(tmp_path / "a.png")


def test_a_link_to_nothing_is_listed_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("gone.png")
    (path,) = list_images(tmp_path)
    with pytest.raises(DataError, match="is a link to nothing"):
        read_image(path)


def test_a_folder_that_may_be_listed_but_not_entered_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()

    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    # Root, as which tests often run, may enter every folder.
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=r"cannot list .*Permission denied"):
        list_images(tmp_path)
