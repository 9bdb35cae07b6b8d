"""JPEG from cameras: whole pictures equal Pillow's, and nothing else is a picture."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from csflow.runtime.errors import DataError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.jpeg import decode_jpeg, end_of_jpeg
from csflow.runtime.synthetic.product import part_at

pytest.importorskip("simplejpeg", reason="the extra camera is not installed")
PART = part_at(3, 0, 0.0, (256, 192)).image
KINDS: dict[str, dict[str, Any]] = {
    "4:2:0": {"quality": 90},
    "4:4:4": {"quality": 95, "subsampling": 0},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 90, "restart_marker_rows": 1},
    "optimised": {"quality": 70, "optimize": True},
}


def encode(image: Any = PART, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def without_tables(data: bytes) -> bytes:
    """As UVC and AVI leave them out: the Huffman tables are the standard's."""
    out, at = data[:2], 2
    while True:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if kind == 0xC4 else data[at : at + 2 + length]
        at += 2 + length
        if kind == 0xDA:
            return out + data[at:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_equals_pillows(kind: str) -> None:
    data = encode(**KINDS[kind])
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for padded in (data, data + b"\0" * 37, data + b"\xff\xff"):
        assert np.array_equal(decode_jpeg(padded), expected)


def test_grey_and_abbreviated_pictures_are_whole_ones() -> None:
    grey = decode_jpeg(encode(PART[:, :, 1]))
    assert grey.shape == PART.shape
    assert (grey[:, :, 0] == grey[:, :, 2]).all()
    data = encode(quality=90)
    assert np.array_equal(decode_jpeg(without_tables(data)), decode_jpeg(data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8, 0.99])
def test_a_picture_that_was_cut_off_is_none_whatever_ends_it(kind: str, share: float) -> None:
    data = encode(**KINDS[kind])
    cut = data[: int(len(data) * share)]
    for broken in (cut, cut + b"\xff\xd9", cut + b"\r\n--frame\r\n\r\n" + data):
        with pytest.raises(DataError, match=r"cut off|damaged"):
            decode_jpeg(broken)


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "restarts"])
def test_a_picture_with_a_hole_is_none(kind: str) -> None:
    data = encode(**KINDS[kind])
    middle = len(data) // 2
    with pytest.raises(DataError, match="damaged"):
        decode_jpeg(data[:middle] + data[middle + 300 :])


def padded(data: bytes, seed: int, at_end: bool = True) -> bytes:
    """As webcams of Logitech's write it: bytes too many before each restart marker and before the tables."""
    draw = random.Random(seed)

    def some() -> bytes:
        return bytes(draw.randrange(1, 0xFE) for _ in range(draw.randrange(0, 10)))

    start = data.index(b"\xff\xda")
    scan = re.sub(rb"\xff[\xd0-\xd7]", lambda marker: some() + marker[0], data[start:-2])
    head = data[:start].replace(b"\xff\xdb", b"\x21\xff\xdb", 1)
    return head + scan + (some() if at_end else b"") + data[-2:]


PADDED: dict[str, dict[str, Any]] = {
    "no restarts": {"quality": 90},
    "rows": {"quality": 90, "restart_marker_rows": 1},
    "blocks": {"quality": 80, "restart_marker_blocks": 7},
    "4:4:4": {"quality": 90, "subsampling": 0, "restart_marker_blocks": 5},
    "4:2:2": {"quality": 90, "subsampling": 1, "restart_marker_rows": 2},
}


@pytest.mark.parametrize("kind", PADDED)
@pytest.mark.parametrize("grey", [False, True])
def test_padding_before_markers_is_no_damage(kind: str, grey: bool) -> None:
    data = encode(PART[:, :, 1] if grey else PART, **PADDED[kind])
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for seed in range(3):
        assert np.array_equal(decode_jpeg(padded(data, seed)), expected)


@pytest.mark.parametrize("kind", PADDED)
def test_a_gap_does_not_hide_behind_padding(kind: str) -> None:
    data = encode(**PADDED[kind])
    spoilt = padded(data, 3)
    start = spoilt.index(b"\xff\xda") + 14
    for share in (0.3, 0.6, 0.95):
        at = start + int((len(spoilt) - start) * share)
        for length in (300, 700):
            with pytest.raises(DataError, match=r"cut off|damaged"):
                decode_jpeg(spoilt[:at] + spoilt[at + length :])


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    data = encode(quality=90)
    segment = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    outer = data[:2] + segment + data[2:]
    assert end_of_jpeg(outer) == len(outer)
    assert end_of_jpeg(outer[: len(data) + 20]) == 0
    assert end_of_jpeg(b"xx" + outer + b"tail", 2) == len(outer) + 2


@pytest.mark.fault("C6")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PADDED)), st.integers(0, 700), st.binary(max_size=20), st.integers(0, 40))
def test_whatever_was_damaged_gives_a_picture_or_a_refusal(kind: str, at: int, other: bytes, lost: int) -> None:
    data = padded(encode(**PADDED[kind]), 1)
    try:
        image = decode_jpeg(data[:at] + other + data[at + lost :])
    except DataError:
        return
    assert image.ndim == 3


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\x89PNG\r\n", b"\xff\xd8\xff\xd9", b"\xff" * 64])
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        decode_jpeg(data)


def test_a_header_that_claims_an_enormous_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_MAX_MEGAPIXELS", "1")
    with pytest.raises(DataError, match="claims 1100x1000 pixels; at most 1000000"):
        decode_jpeg(encode(np.zeros((1000, 1100, 3), np.uint8)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright_as_in_a_file(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(quality=90, exif=exif)
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.array_equal(decode_jpeg(data), read_image(tmp_path / "a.jpg"))
