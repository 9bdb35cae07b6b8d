"""The protocol on the pipe: whole pictures whatever the pieces they come in, and nothing that is none."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from csflow.runtime.errors import SourceError
from csflow.runtime.sources.gstreamer.gdp import GdpReader, Packet

CAPS = "video/x-raw, format=(string){}, width=(int){}, height=(int){}, framerate=(fraction)30/1\0"


def packet(kind: int, payload: bytes, flags: int = 0) -> bytes:
    header = struct.pack(">BBBxHI", 1, 0, 1, kind, len(payload)) + bytes(32) + struct.pack(">H", flags) + bytes(18)
    return header + payload


def caps(width: int, height: int, form: str = "RGB") -> bytes:
    return packet(2, CAPS.format(form, width, height).encode())


def padded(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    height, width, _ = image.shape
    rows = np.zeros((height, -(-3 * width // 4) * 4), np.uint8)
    rows[:, : 3 * width] = image.reshape(height, -1)
    return packet(1, rows.tobytes())


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    yield reading, writing
    for handle in (reading, writing):
        os.close(handle)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.lists(st.integers(1, 200), max_size=30))
def test_pictures_of_any_size_arrive_whole_in_any_pieces(width: int, height: int, cuts: list[int]) -> None:
    image = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    data = packet(64, b"event") + caps(width, height) + padded(image) + padded(255 - image)
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        reader, got = GdpReader(reading), []
        for size in [*cuts, len(data)]:
            os.write(writing, data[:size])
            data = data[size:]
            while (found := reader.read()) is not None:
                got.append(found.image)
    finally:
        os.close(reading)
        os.close(writing)
    assert len(got) == 2
    np.testing.assert_array_equal(got[0], image)
    np.testing.assert_array_equal(got[1], 255 - image)


def test_a_new_size_holds_for_the_pictures_after_it(pipe: tuple[int, int]) -> None:
    small, large = np.zeros((2, 3, 3), np.uint8), np.ones((4, 5, 3), np.uint8)
    os.write(pipe[1], caps(3, 2) + padded(small) + caps(5, 4) + padded(large))
    reader = GdpReader(pipe[0])
    shapes = [found.image.shape for found in (reader.read(), reader.read()) if found and found.image is not None]
    assert shapes == [(2, 3, 3), (4, 5, 3)]


def test_a_picture_with_bytes_missing_is_named_and_the_next_one_is_read(pipe: tuple[int, int]) -> None:
    image = np.full((4, 4, 3), 9, np.uint8)
    os.write(pipe[1], caps(4, 4) + packet(1, bytes(47)) + padded(image))
    reader = GdpReader(pipe[0])
    assert reader.read() == Packet(None, "47 bytes instead of the 48 of a 4x4 picture")
    after = reader.read()
    assert after is not None
    np.testing.assert_array_equal(after.image, image)


def test_grey_pictures_get_three_equal_channels(pipe: tuple[int, int]) -> None:
    rows = np.arange(12, dtype=np.uint8).reshape(3, 4)
    os.write(pipe[1], caps(3, 3, "GRAY8") + packet(1, rows.tobytes()))
    found = GdpReader(pipe[0]).read()
    assert found is not None
    assert found.image is not None
    np.testing.assert_array_equal(found.image, np.repeat(rows[:, :3, None], 3, axis=2))


def test_a_picture_that_the_decoder_calls_damaged_is_none(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], caps(4, 1) + packet(1, bytes(12), 0x140) + packet(1, bytes(12), 0x40))
    reader = GdpReader(pipe[0])
    assert reader.read() == Packet(None, "a picture that its decoder calls damaged")
    after = reader.read()
    assert after is not None
    assert after.image is not None


def test_jpeg_is_decoded_here_and_a_cut_one_is_named(pipe: tuple[int, int]) -> None:
    pytest.importorskip("simplejpeg", reason="the extra camera is not installed")
    buffer = io.BytesIO()
    Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)).save(buffer, "JPEG")
    data = buffer.getvalue()
    os.write(
        pipe[1], packet(2, b"image/jpeg, width=(int)64, height=(int)48") + packet(1, data) + packet(1, data[:-400])
    )
    reader = GdpReader(pipe[0])
    whole, cut = reader.read(), reader.read()
    assert whole is not None
    assert whole.image is not None
    np.testing.assert_array_equal(whole.image, np.asarray(Image.open(buffer).convert("RGB")))
    assert cut is not None
    assert cut.image is None
    assert "cut off" in cut.problem


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"YUV4MPEG2 W64 H48 F30:1 Ip A1:1 C420".ljust(62), "something else than GDP"),
        (struct.pack(">BBBxHI", 1, 0, 1, 1, 0xFFFFFFFF) + bytes(52), "something else than GDP"),
        (caps(64, 48, "NV12"), "instead of RGB"),
        (caps(64, 48, "GRAY16_LE"), "16-bit grey"),
        (caps(0, 48), "instead of RGB"),
        (caps(99999, 48), "instead of RGB"),
        (packet(1, bytes(48)), "without its size"),
        (packet(2, b"audio/x-raw, rate=(int)44100"), "instead of RGB"),
    ],
    ids=["y4m", "4 GB", "not RGB", "deep", "no width", "too wide", "no size", "sound"],
)
def test_what_is_no_picture_stream_is_refused_before_memory_is_taken(
    data: bytes, words: str, pipe: tuple[int, int]
) -> None:
    os.write(pipe[1], data)
    with pytest.raises(SourceError, match=words):
        GdpReader(pipe[0]).read()


def test_a_writer_that_left_is_the_end_of_the_file() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    os.write(writing, caps(4, 4)[:30])
    os.close(writing)
    with pytest.raises(EOFError):
        GdpReader(reading).read()
    os.close(reading)
