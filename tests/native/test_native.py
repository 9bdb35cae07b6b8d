"""libcsflow, built: equal to Pillow bit for bit, complete in its errors, usable once installed."""

from __future__ import annotations

import ctypes
import inspect
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime import errors
from csflow.runtime.manifest import Preprocessing
from csflow.runtime.preprocess import preprocess

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "runtime" / "native" / "include" / "csflow.h"
C_ALONE = {"INVALID_ARGUMENT", "OUT_OF_MEMORY", "INTERNAL_ERROR"}
FORMATS = {"RGB8": (1, 3), "BGR8": (2, 3), "GRAY8": (3, 1), "BGRX8": (4, 4)}
MISSING = [tool for tool in ("cmake", "cc", "c++") if shutil.which(tool) is None]

needs_compiler = pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")


class CImage(ctypes.Structure):
    """`csflow_image`."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("format", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("row_stride", ctypes.c_int64),
        ("data", ctypes.c_void_p),
    )


class CPreprocessing(ctypes.Structure):
    """`csflow_preprocessing`."""

    _fields_ = (("struct_size", ctypes.c_uint32), ("image_size", ctypes.c_int32), ("roi", ctypes.c_int32 * 4))


def run(*command: object, **environment: str) -> str:
    """Run to the end; the output, or a failed test that shows it."""
    words = [str(word) for word in command]
    env = {**os.environ, **environment}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(folder: Path, *options: str) -> Path:
    run("cmake", "-S", ROOT, "-B", folder, "-DCSFLOW_WARNINGS_AS_ERRORS=ON", *options)
    run("cmake", "--build", folder, "--parallel", "2")
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def library(build: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(build / "libcsflow.so"))
    for name in ("csflow_version", "csflow_last_error", "csflow_strerror"):
        getattr(loaded, name).restype = ctypes.c_char_p
    loaded.csflow_preprocess.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    loaded.csflow_preprocessor_close.argtypes = [ctypes.c_void_p]
    loaded.csflow_preprocessor_close.restype = None
    return loaded


def opened(library: ctypes.CDLL, how: Preprocessing, max_width: int, max_height: int) -> ctypes.c_void_p:
    settings = CPreprocessing(ctypes.sizeof(CPreprocessing), how.image_size, how.roi or (0, 0, 0, 0))
    handle = ctypes.c_void_p()
    status = library.csflow_preprocessor_open(ctypes.byref(handle), ctypes.byref(settings), max_width, max_height)
    assert status == 0, library.csflow_last_error()
    return handle


def call(library: ctypes.CDLL, handle: ctypes.c_void_p, pixels: NDArray[np.uint8], format_: str, side: int) -> Any:
    """The output of csflow_preprocess for (H, W) or (H, W, C) pixels, whose rows may lie anywhere."""
    height, width = pixels.shape[:2]
    number, _ = FORMATS[format_]
    image = CImage(ctypes.sizeof(CImage), number, width, height, pixels.strides[0], pixels.ctypes.data)
    out = np.full((side, side, 3), 0xA5, np.uint8)
    status = library.csflow_preprocess(handle, ctypes.byref(image), out.ctypes.data, out.nbytes)
    assert status == 0, library.csflow_last_error()
    return out


def rgb_of(pixels: NDArray[np.uint8], format_: str) -> NDArray[np.uint8]:
    """What the picture looks like, as Python would be given it."""
    if format_ == "GRAY8":
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3] if format_ == "RGB8" else pixels[..., 2::-1])


def padded(draw: np.random.Generator, height: int, width: int, pixel_bytes: int) -> NDArray[np.uint8]:
    """Random pixels, half of them extreme, with a gap after each row; half are stored bottom-up."""
    row = width * pixel_bytes
    levels = draw.choice(np.array([0, 1, 127, 254, 255], np.uint8), (height, row))
    noise = draw.integers(0, 256, (height, row), dtype=np.uint8)
    buffer = np.full((height, row + int(draw.integers(0, 40))), 0x5A, np.uint8)
    buffer[:, :row] = levels if draw.random() < 0.5 else noise
    rows = buffer[::-1] if draw.random() < 0.5 else buffer
    return np.lib.stride_tricks.as_strided(
        rows, (height, width, pixel_bytes), (rows.strides[0], pixel_bytes, 1), writeable=False
    )


def region(draw: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int] | None:
    if draw.random() < 0.4:
        return None
    x, y = int(draw.integers(0, width)), int(draw.integers(0, height))
    return x, y, int(draw.integers(1, width - x + 1)), int(draw.integers(1, height - y + 1))


@needs_compiler
@pytest.mark.parametrize("format_", FORMATS)
def test_equal_to_pillow_bit_for_bit(library: ctypes.CDLL, format_: str) -> None:
    draw = np.random.default_rng(len(format_) + FORMATS[format_][0])
    for _ in range(120):
        width, height = (int(2 ** draw.uniform(0, 9.5)) for _ in range(2))
        how = Preprocessing(32 * int(draw.integers(1, 8)), region(draw, width, height))
        pixels = padded(draw, height, width, FORMATS[format_][1])
        handle = opened(library, how, width + int(draw.integers(0, 9)), height + int(draw.integers(0, 9)))
        ours = call(library, handle, pixels, format_, how.image_size)
        library.csflow_preprocessor_close(handle)
        np.testing.assert_array_equal(ours, preprocess(rgb_of(pixels, format_), how), str((width, height, how)))


@needs_compiler
@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(4000, 33, 32), (33, 4000, 32), (1, 1, 256), (1024, 768, 768), (20000, 1, 32)],
)
def test_extreme_sizes_are_equal_too(library: ctypes.CDLL, width: int, height: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    handle = opened(library, Preprocessing(side), width, height)
    np.testing.assert_array_equal(call(library, handle, pixels, "RGB8", side), preprocess(pixels, Preprocessing(side)))
    library.csflow_preprocessor_close(handle)


@needs_compiler
def test_one_handle_takes_pictures_of_any_smaller_size(library: ctypes.CDLL) -> None:
    draw = np.random.default_rng(5)
    how = Preprocessing(64, (3, 4, 50, 40))
    handle = opened(library, how, 300, 300)
    for _ in range(50):
        width, height = int(draw.integers(53, 301)), int(draw.integers(44, 301))
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        np.testing.assert_array_equal(call(library, handle, pixels, "RGB8", 64), preprocess(pixels, how))
    library.csflow_preprocessor_close(handle)


@needs_compiler
def test_a_region_outside_the_picture_is_a_source_error_on_both_sides(library: ctypes.CDLL) -> None:
    how = Preprocessing(32, (0, 0, 60, 60))
    pixels = np.zeros((50, 60, 3), np.uint8)
    handle = opened(library, how, 60, 60)
    image = CImage(ctypes.sizeof(CImage), 1, 60, 50, 180, pixels.ctypes.data)
    out = np.zeros((32, 32, 3), np.uint8)
    status = library.csflow_preprocess(handle, ctypes.byref(image), out.ctypes.data, out.nbytes)
    library.csflow_preprocessor_close(handle)
    with pytest.raises(errors.SourceError) as caught:
        preprocess(pixels, how)
    assert library.csflow_strerror(status).decode().startswith(caught.type.__name__)
    assert "leaves the picture of 60x50" in library.csflow_last_error().decode()


def upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def header_statuses() -> dict[str, int]:
    text = HEADER.read_text()
    return {name: int(number) for name, number in re.findall(r"^ +CSFLOW_(\w+) = (-\d+),?", text, re.MULTILINE)}


def test_every_python_error_has_a_status_and_the_other_way_round() -> None:
    tree = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.CSFlowError)]
    names = {upper_snake(c.__name__) for c in tree if c is not errors.CSFlowError}
    statuses = header_statuses()
    assert set(statuses) == names | C_ALONE
    assert len(set(statuses.values())) == len(statuses)


@needs_compiler
def test_every_status_is_named_in_words(library: ctypes.CDLL) -> None:
    for name, number in header_statuses().items():
        words = library.csflow_strerror(number).decode()
        expected = name.replace("_", " ").lower() if name in C_ALONE else name.replace("_", "")
        assert words.split(":")[0].upper() == expected.upper()


@needs_compiler
def test_the_version_is_that_of_the_package(library: ctypes.CDLL) -> None:
    assert f'version = "{library.csflow_version().decode()}"' in (ROOT / "pyproject.toml").read_text()


@needs_compiler
def test_ctest_passes(build: Path) -> None:
    assert "100% tests passed" in run("ctest", "--test-dir", build, "--output-on-failure")


@needs_compiler
@pytest.mark.slow
def test_no_sanitizer_complains(tmp_path: Path) -> None:
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -g"
    folder = built(tmp_path / "b", "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}")
    run("ctest", "--test-dir", folder, "--output-on-failure", ASAN_OPTIONS="allocator_may_return_null=1")


@needs_compiler
@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not on this machine")
def test_only_the_interface_is_visible(build: Path) -> None:
    symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", build / "libcsflow.so").splitlines()}
    declared = set(re.findall(r"CSFLOW_CALL (csflow_\w+)\(", HEADER.read_text()))
    assert symbols == declared


@needs_compiler
def test_an_installed_library_is_found_by_cmake(build: Path, tmp_path: Path) -> None:
    run("cmake", "--install", build, "--prefix", tmp_path / "prefix")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(consumer LANGUAGES C)\n"
        "find_package(csflow 0.1 REQUIRED)\nadd_executable(consumer main.c)\n"
        "target_link_libraries(consumer PRIVATE csflow::csflow)\n"
    )
    (tmp_path / "main.c").write_text(
        "#include <csflow.h>\n#include <stdio.h>\nint main(void) { puts(csflow_version()); return 0; }\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
    run("cmake", "--build", tmp_path / "b")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run(tmp_path / "b" / "consumer"))


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What the build needs, away from the working tree and what others do in it."""
    folder = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in ("runtime", "calibration", "toolkit", "export"):
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)


def wheel(checkout: Path, native: str) -> tuple[str, list[str]]:
    """(name, content) of the wheel that pip builds."""
    pytest.importorskip("scikit_build_core", reason="the build backend is not installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", checkout / "dist")
    run(sys.executable, "-m", "pip", "wheel", *options, checkout, CSFLOW_NATIVE=native)
    (made,) = (checkout / "dist").glob("*.whl")
    return made.name, zipfile.ZipFile(made).namelist()


def test_the_default_wheel_is_pure_and_holds_no_native_sources(checkout: Path) -> None:
    name, content = wheel(checkout, native="")
    assert name.endswith("-py3-none-any.whl")
    assert "csflow/runtime/bundle.py" in content
    assert "csflow/__init__.py" not in content
    assert not [n for n in content if n.endswith((".so", ".cpp", ".h", ".txt")) and "dist-info" not in n]


@needs_compiler
def test_the_native_wheel_holds_the_library(checkout: Path) -> None:
    name, content = wheel(checkout, native="1")
    assert "-py3-none-linux_" in name
    assert "csflow/runtime/libcsflow.so" in content
    assert [n for n in content if "libcsflow" in n or "/native/" in n] == ["csflow/runtime/libcsflow.so"]
