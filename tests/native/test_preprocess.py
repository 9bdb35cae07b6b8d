"""The resize of libcsflow: equal to Pillow bit for bit, in every format and size."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime import errors
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.picture.preprocess import preprocess

CHANNELS = {"RGB8": 3, "BGR8": 3, "GRAY8": 1, "BGRX8": 4}
Array = NDArray[np.uint8]


def forms(probe: ctypes.CDLL) -> list[str]:
    """The forms of the resize on this processor, the plain one first."""
    return [name.decode() for name in iter(map(probe.probe_kernels, itertools.count()).__next__, None)]


def prepared(probe: ctypes.CDLL, image: Any, how: Preprocessing, spare: int = 0) -> Array:
    """The model's input as libcsflow makes it, by each form, in buffers `spare` pixels larger than needed."""
    out = np.full((len(forms(probe)), how.image_size, how.image_size, 3), 0xA5, np.uint8)
    for form, made in enumerate(out):
        assert asked(probe, image, how, spare, made, form) == 0
    assert (out == out[0]).all()
    return out[0]


def asked(probe: ctypes.CDLL, image: Any, how: Preprocessing, spare: int, out: Array, form: int = 0) -> int:
    """The status."""
    roi = (ctypes.c_int32 * 4)(*(how.roi or (0, 0, 0, 0)))
    boxes = (ctypes.c_int32 * (4 * len(how.ignore)))(*[side for box in how.ignore for side in box])
    sizes = (len(how.ignore), *(how.window or (0, 0)), how.exposure or 0, how.image_size, spare, form)
    return int(probe.probe_preprocess(ctypes.byref(image), roi, boxes, *sizes, out.ctypes.data))


def test_wide_registers_are_used_where_there_are_some(probe: ctypes.CDLL) -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    wide = [name for name, flag in (("sse4.1", "sse4_1"), ("avx2", "avx2"), ("neon", "asimd")) if flag in flags]
    assert forms(probe) == ["plain", *wide]


def region(draw: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int] | None:
    if draw.random() < 0.4:
        return None
    x, y = int(draw.integers(0, width)), int(draw.integers(0, height))
    return x, y, int(draw.integers(1, width - x + 1)), int(draw.integers(1, height - y + 1))


def compare(
    probe: ctypes.CDLL, picture: Any, padded: Any, rgb_of: Any, draw: np.random.Generator, format_: str
) -> None:
    width, height = (int(2 ** draw.uniform(0, 9.5)) for _ in range(2))
    boxes = [box for _ in range(4) if (box := region(draw, width, height)) is not None and draw.random() < 0.3]
    how = Preprocessing(32 * int(draw.integers(1, 8)), region(draw, width, height), ignore=tuple(boxes))
    pixels = padded(draw, height, width, CHANNELS[format_])
    ours = prepared(probe, picture(pixels, format_), how, int(draw.integers(0, 9)))
    np.testing.assert_array_equal(ours, preprocess(rgb_of(pixels, format_), how), str((width, height, how)))


@pytest.mark.parametrize("format_", CHANNELS)
def test_equal_to_pillow_bit_for_bit(probe: Any, picture: Any, padded: Any, rgb_of: Any, format_: str) -> None:
    draw = np.random.default_rng(len(format_) + CHANNELS[format_])
    for _ in range(100):
        compare(probe, picture, padded, rgb_of, draw, format_)


@pytest.mark.soak
def test_ten_thousand_sizes_are_equal_to_pillow(probe: Any, picture: Any, padded: Any, rgb_of: Any) -> None:
    draw = np.random.default_rng(17)
    for i in range(10_000):
        compare(probe, picture, padded, rgb_of, draw, list(CHANNELS)[i % 4])


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(4000, 33, 32), (33, 4000, 32), (1, 1, 256), (1024, 768, 768), (20000, 1, 32), (4096, 4096, 64)],
)
def test_extreme_sizes_are_equal_too(probe: Any, picture: Any, width: int, height: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    how = Preprocessing(side)
    np.testing.assert_array_equal(prepared(probe, picture(pixels, "RGB8"), how), preprocess(pixels, how))


@pytest.mark.parametrize("window", [(0, 4095), (0, 65535), (100, 101), (1000, 1254), (65534, 65535)])
def test_every_level_of_16_bits_is_mapped_alike(probe: Any, picture: Any, window: tuple[int, int]) -> None:
    ramp = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    how = Preprocessing(256, window=window)
    made = prepared(probe, picture(ramp, "GRAY16"), how)
    np.testing.assert_array_equal(made, preprocess(ramp, how))
    assert made.min() == 0
    assert made.max() == 255


def test_windowed_pictures_of_any_size_are_equal_bit_for_bit(probe: Any, binding: ModuleType) -> None:
    draw = np.random.default_rng(12)
    for _ in range(60):
        width, height = (int(draw.integers(1, 300)) for _ in range(2))
        low = int(draw.integers(0, 4000))
        box = region(draw, width, height)
        window = (low, low + int(draw.integers(1, 5000)))
        how = Preprocessing(32, region(draw, width, height), ignore=(box,) if box else (), window=window)
        buffer = np.full((height, 2 * width + 3), 0x5A, np.uint8)  # rows that begin at odd addresses
        levels = draw.integers(0, 8000, (height, width)).astype(np.uint16)
        buffer[:, : 2 * width] = levels.view(np.uint8)
        place = {"row_stride": buffer.strides[0], "data": buffer.ctypes.data}
        image = binding.Picture(format=binding.FORMATS["GRAY16"], width=width, height=height, **place)
        np.testing.assert_array_equal(prepared(probe, image, how), preprocess(levels, how))


@pytest.mark.parametrize("level", [1, 16, 17, 128, 254])
@pytest.mark.parametrize("format_", CHANNELS)
def test_exposure_is_equal_bit_for_bit(
    probe: Any, picture: Any, padded: Any, rgb_of: Any, format_: str, level: int
) -> None:
    draw = np.random.default_rng(level)
    for brightest in (0, 1, 2, 9, 40, 128, 255):
        width, height = (int(draw.integers(1, 120)) for _ in range(2))
        how = Preprocessing(32 * int(draw.integers(1, 4)), region(draw, width, height), exposure=level)
        pixels = (padded(draw, height, width, CHANNELS[format_]).astype(int) * brightest // 255).astype(np.uint8)
        ours = prepared(probe, picture(pixels, format_), how, int(draw.integers(0, 9)))
        np.testing.assert_array_equal(ours, preprocess(rgb_of(pixels, format_), how), str((width, height, how)))


@pytest.mark.parametrize(
    ("grey", "level", "becomes"),
    [
        (0, 128, 0),
        (255, 128, 128),
        (255, 254, 254),
        (64, 128, 128),
        (1, 128, 16),
        (7, 128, 112),
        (1, 1, 1),
        (2, 33, 22),
    ],
)
def test_an_even_picture_becomes_the_level_by_a_gain_of_16_at_most(
    probe: Any, picture: Any, grey: int, level: int, becomes: int
) -> None:
    how = Preprocessing(32, exposure=level)
    pixels = np.full((5, 7, 3), grey, np.uint8)
    assert (prepared(probe, picture(pixels, "RGB8"), how) == becomes).all()
    assert (preprocess(pixels, how) == becomes).all()


def test_the_median_of_an_even_number_is_the_lower_one_and_channels_keep_their_ratio(probe: Any, picture: Any) -> None:
    pixels = np.array([[[10, 20, 40], [50, 100, 200]]], np.uint8)  # 10 20 40 | 50 100 200
    how = Preprocessing(32, exposure=60)
    made = prepared(probe, picture(pixels, "RGB8"), how)
    assert made[0, 0].tolist() == [15, 30, 60]
    assert made[0, -1].tolist() == [75, 150, 255]
    np.testing.assert_array_equal(made, preprocess(pixels, how))


def test_what_lies_outside_the_region_does_not_count_for_the_exposure(probe: Any, picture: Any) -> None:
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[3:20, 5:30] = 32
    how = Preprocessing(32, (5, 3, 25, 17), exposure=100)
    assert (prepared(probe, picture(pixels, "GRAY8"), how) == 100).all()
    assert (preprocess(np.dstack([pixels] * 3), how) == 100).all()


def test_exposure_comes_after_the_window(probe: Any, picture: Any) -> None:
    draw = np.random.default_rng(5)
    for _ in range(30):
        width, height = (int(draw.integers(1, 200)) for _ in range(2))
        window = (int(draw.integers(0, 300)), 4095)
        how = Preprocessing(64, region(draw, width, height), window=window, exposure=int(draw.integers(1, 255)))
        levels = draw.integers(0, int(draw.integers(1, 4096)), (height, width)).astype(np.uint16)
        np.testing.assert_array_equal(prepared(probe, picture(levels, "GRAY16"), how), preprocess(levels, how))


@pytest.mark.parametrize(("format_", "window"), [("GRAY16", None), ("GRAY8", (0, 4095))])
def test_a_depth_that_the_model_does_not_take_is_a_source_error_on_both_sides(
    probe: Any, picture: Any, library: ctypes.CDLL, format_: str, window: tuple[int, int] | None
) -> None:
    pixels = np.zeros((40, 40), np.uint16 if format_ == "GRAY16" else np.uint8)
    how = Preprocessing(32, window=window)
    status = asked(probe, picture(pixels, format_), how, 0, np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(errors.SourceError) as caught:
        preprocess(np.dstack([pixels] * 3), how)
    assert library.csflow_strerror(status).decode().startswith(caught.type.__name__)


def test_nv12_is_opencvs_bt601(probe: Any, binding: ModuleType) -> None:
    cv2 = pytest.importorskip("cv2", reason="the extra camera is not installed")
    draw = np.random.default_rng(3)
    for _ in range(60):
        width, height = (2 * int(draw.integers(1, 150)) for _ in range(2))
        planes = draw.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
        box = region(draw, width, height)
        either: Any = {"ignore": (box,)} if box else {"exposure": int(draw.integers(1, 255))}
        how = Preprocessing(32 * int(draw.integers(1, 5)), region(draw, width, height), **either)
        expected = preprocess(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12), how)
        joined = binding.Picture(format=5, width=width, height=height, row_stride=width, data=planes.ctypes.data)
        np.testing.assert_array_equal(prepared(probe, joined, how), expected)
        luma = np.zeros((height, width + 13), np.uint8)
        chroma = np.zeros((height // 2, width + 6), np.uint8)
        luma[:, :width], chroma[:, :width] = planes[:height], planes[height:]
        apart = binding.Picture(format=5, width=width, height=height, row_stride=width + 13, data=luma.ctypes.data)
        apart.chroma, apart.chroma_stride = chroma.ctypes.data, width + 6
        np.testing.assert_array_equal(prepared(probe, apart, how), expected)


@pytest.mark.parametrize(
    "how", [Preprocessing(32, (0, 0, 60, 60)), Preprocessing(32, (0, 0, 9, 9), ignore=((0, 40, 9, 11),))]
)
def test_a_region_outside_the_picture_is_a_source_error_on_both_sides(
    probe: Any, picture: Callable[..., Any], library: ctypes.CDLL, how: Preprocessing
) -> None:
    pixels = np.zeros((50, 60, 3), np.uint8)
    out = np.zeros((32, 32, 3), np.uint8)
    status = asked(probe, picture(pixels, "RGB8"), how, 0, out)
    with pytest.raises(errors.SourceError) as caught:
        preprocess(pixels, how)
    assert library.csflow_strerror(status).decode().startswith(caught.type.__name__)
