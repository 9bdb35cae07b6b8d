"""libcsflow, built once per checkout in out/native and loaded through the ctypes example."""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.verification import VERIFICATION, EngineRecord, Figures, Verification, load_verification
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files

ROOT = Path(__file__).resolve().parents[2]
HEADERS = {"nlohmann-json3-dev": "nlohmann/json.hpp", "libstb-dev": "stb/stb_image.h"}
UNITY = ("-DCMAKE_UNITY_BUILD=ON", "-DCMAKE_UNITY_BUILD_BATCH_SIZE=20")
"""For builds beside the plain one: sources are compiled together, as most of a compiler's time goes into headers. The
plain build keeps them apart, so that each must include what it needs."""
CHANNELS = {"RGB8": 3, "BGR8": 3, "GRAY8": 1, "BGRX8": 4}

Run = Callable[..., str]
Build = Callable[..., Path]


def missing() -> list[str]:
    """What this machine lacks to build libcsflow."""
    tools = [tool for tool in ("cmake", "cc", "c++") if shutil.which(tool) is None]
    return tools + [package for package, header in HEADERS.items() if not (Path("/usr/include") / header).exists()]


@pytest.fixture(scope="session")
def run() -> Run:
    """`run(*words, **environment) -> output`; fails the test with the output where the command fails.

    A program by its bare name, such as cc, is the machine's: without it the test is skipped.
    """

    def execute(*command: object, **environment: str) -> str:
        words = [str(word) for word in command]
        if "/" not in words[0] and shutil.which(words[0]) is None:
            pytest.skip(f"not on this machine: {words[0]} (make packages)")
        env = {**os.environ, **environment}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return execute


@pytest.fixture(scope="session")
def build(run: Run) -> Build:
    """`build("name", *options, targets=()) -> folder`: libcsflow in out/native/name, compiled where something changed.

    targets: what to compile; none: all.
    """
    if lacking := missing():
        pytest.skip(f"not on this machine: {', '.join(lacking)}")

    def make(name: str, *options: str, targets: tuple[str, ...] = ()) -> Path:
        folder = ROOT / "out" / "native" / name
        folder.mkdir(parents=True, exist_ok=True)
        python = f"-DPython3_EXECUTABLE={sys.executable}"
        # Another process of `pytest -n` may want the same build.
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run("cmake", "-S", ROOT, "-B", folder, "-DCSFLOW_WARNINGS_AS_ERRORS=ON", python, *options)
            run("cmake", "--build", folder, "--parallel", "2", *(("--target", *targets) if targets else ()))
        return folder

    return make


@pytest.fixture(scope="session")
def built(build: Build) -> Path:
    """The folder of the plain build."""
    return build("plain")


class Shim(NamedTuple):
    """The part of libcsflow that talks to one major version of TensorRT, and the headers it was made with."""

    library: Path
    include: Path
    cuda: Path


def headers(variable: str, candidates: list[Path], file: str) -> list[Path]:
    """Folders that hold `file`: those of an environment variable, else those of `candidates`."""
    named = [Path(folder) for folder in os.environ.get(variable, "").split(";") if folder]
    return [folder for folder in named or candidates if (folder / file).is_file()]


@pytest.fixture(scope="session")
def shims(run: Run) -> dict[int, Shim]:
    """The shim for each major version of TensorRT whose headers are here."""
    kept = sorted((ROOT / "out/native/headers").glob("*/include"))
    tensorrt = headers("CSFLOW_TENSORRT_INCLUDE", kept, "NvInferRuntime.h")
    wheels = [Path(folder) / "nvidia" / "cu13" / "include" for folder in sys.path]
    toolkits = sorted(Path("/usr/local").glob("cuda*/include"))
    cuda = headers("CSFLOW_CUDA_INCLUDE", wheels + toolkits, "crt/host_defines.h")
    if not tensorrt or not cuda:
        pytest.skip("no headers of TensorRT or CUDA: see docs/native.md")
    folder = ROOT / "out" / "native" / "tensorrt"
    include = (f"-DCSFLOW_TENSORRT_INCLUDE={';'.join(map(str, tensorrt))}", f"-DCSFLOW_CUDA_INCLUDE={cuda[0]}")
    run("cmake", "-S", ROOT, "-B", folder, "-DCSFLOW_BUILD_TESTS=OFF", "-DCSFLOW_WARNINGS_AS_ERRORS=ON", *include)
    made = {}
    for path in tensorrt:
        found = re.search(r"MAJOR\D* (\d+)", (path / "NvInferVersion.h").read_text())
        assert found is not None
        major = int(found[1])
        run("cmake", "--build", folder, "--target", f"csflow_trt{major}")
        made[major] = Shim(folder / f"libcsflow_trt{major}.so", path, cuda[0])
    return made


@pytest.fixture(scope="session")
def binding() -> ModuleType:
    """The ctypes example, as a module."""
    path = ROOT / "runtime" / "native" / "examples" / "csflow_ctypes.py"
    spec = importlib.util.spec_from_file_location("csflow_ctypes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def library(built: Path, binding: ModuleType) -> ctypes.CDLL:
    """libcsflow.so with the types of its functions."""
    loaded: ctypes.CDLL = binding.load(str(built / "libcsflow.so"))
    return loaded


@pytest.fixture(scope="session")
def probe(built: Path) -> ctypes.CDLL:
    """Inner functions."""
    loaded = ctypes.CDLL(str(built / "runtime" / "native" / "test" / "libcsflow_probe.so"))
    pointer, whole = ctypes.c_void_p, ctypes.c_int32
    loaded.probe_kernels.argtypes = [ctypes.c_size_t]
    loaded.probe_kernels.restype = ctypes.c_char_p
    loaded.probe_preprocess.argtypes = [*[pointer] * 3, *[whole] * 6, ctypes.c_size_t, pointer]
    text, room, real = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_double
    loaded.probe_distrust.argtypes = [text, text, real, real, whole, text, room]
    loaded.probe_tolerances.argtypes = [text, whole, pointer]
    loaded.probe_passed.argtypes = [text, whole, whole, real, real]
    loaded.probe_band.restype = real
    loaded.probe_engine_name.argtypes = [text, text, room]
    loaded.probe_stages.argtypes = [text, room, text, text, room]
    loaded.probe_most_bytes.argtypes, loaded.probe_most_bytes.restype = [text], ctypes.c_uint64
    loaded.probe_code.argtypes = loaded.probe_reason.argtypes = [whole]
    loaded.probe_code.restype = loaded.probe_reason.restype = ctypes.c_uint16
    loaded.probe_identity.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    loaded.probe_sha256.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    loaded.probe_sha256.restype = None
    loaded.probe_canonical.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    loaded.probe_canonical.restype = ctypes.c_size_t
    return loaded


@pytest.fixture(scope="session")
def with_record() -> Callable[..., Bundle]:
    """`with_record(bundle, engine, reference, scores, faults, band)`: the bundle with one record of the gate."""

    def write(
        bundle: Bundle,
        engine: str,
        reference: tuple[float, ...] = (0.3, 0.7),
        scores: tuple[float | None, ...] = (0.3, 0.7),
        faults: tuple[str, ...] = (),
        band: float = 0.005,
    ) -> Bundle:
        facts = ("library", "machine", "0.1", "now", "golden frames", band)
        figures = Figures(0, 2, 0.0, 0.0, None, 1.0, None, None, 0.0, None, None, 0.0, 0.0)

        def files_of(name: str) -> dict[str, str]:
            return engine_files(bundle, EngineName.parse(name))

        record = EngineRecord(files_of(engine), *facts, reference, scores, figures, faults, None, None, True)
        known = load_verification(bundle) or Verification(bundle.weights_sha256, {})
        return bundle.update({VERIFICATION: known.merged({engine: record}, files_of).to_bytes()})

    return write


@pytest.fixture
def trained_copy(trained_copy: Path) -> Path:
    """The trained bundle with thresholds between its golden scores; no engine is verified.

    It knows no sizes of pictures, as one of an earlier csflow: what is judged here need not look like its parts.
    """
    bundle = Bundle.open(trained_copy)
    provenance = {name: value for name, value in bundle.manifest.provenance.items() if name != "training"}
    write_thresholds(Bundle(bundle.path, dataclasses.replace(bundle.manifest, provenance=provenance)).update({}))
    return trained_copy


def write_thresholds(bundle: Bundle) -> None:
    """Thresholds in the widest gap between golden scores: rounding to bfloat16 must not carry a frame across."""
    scores = sorted(frame.score for _, frame in load_golden(bundle))
    low, high = max(pairwise(scores), key=lambda pair: pair[1] / pair[0])
    middle = (low + high) / 2
    rates = {"false_reject_rate": 0.05, "confidence": 0.95, "bound": 0.05, "warn_rate": 0.1}
    identity = {"weights_sha256": bundle.weights_sha256, "backend": "torch", "created_utc": "2026-01-01T00:00:00Z"}
    calibration = Calibration(middle, middle * 0.98, scores=tuple(scores), **rates, **identity)  # type: ignore[arg-type]
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))


@pytest.fixture
def calibrated(trained_copy: Path, with_record: Callable[..., Bundle]) -> Path:
    """`trained_copy` with records that let OpenVINO decide."""
    with_record(with_record(Bundle.open(trained_copy), "openvino-fp32"), "openvino-bf16")
    return trained_copy


@pytest.fixture(scope="session")
def openvino_library() -> Path:
    """libopenvino_c.so of the Python package."""
    package = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    (file,) = (Path(package.__file__).parent / "libs").glob("libopenvino_c.so*")
    return file


@pytest.fixture
def openvino(library: ctypes.CDLL, binding: ModuleType, openvino_library: Path) -> Callable[..., Any]:
    """`openvino(bundle, device, **options)`: a libcsflow detector with OpenVINO from the Python package."""

    def opened(bundle: Path, device: str, **options: Any) -> Any:
        where = str(openvino_library).encode()
        return binding.Detector(library, str(bundle), device=device.encode(), library=where, **options)

    return opened


@pytest.fixture(scope="session")
def picture(binding: ModuleType) -> Callable[[NDArray[np.uint8], str], Any]:
    """`picture(pixels, format) -> csflow_image` for (H, W) or (H, W, C) pixels, whose rows may lie anywhere."""

    def describe(pixels: NDArray[np.uint8], format_: str) -> Any:
        height, width = pixels.shape[:2]
        place = {"row_stride": pixels.strides[0], "data": pixels.ctypes.data}
        return binding.Picture(format=binding.FORMATS[format_], width=width, height=height, **place)

    return describe


@pytest.fixture(scope="session")
def padded() -> Callable[..., NDArray[np.uint8]]:
    """`padded(draw, height, width, channels)`: half extreme pixels, a gap after each row, half stored bottom-up."""

    def make(draw: np.random.Generator, height: int, width: int, channels: int) -> NDArray[np.uint8]:
        row = width * channels
        levels = draw.choice(np.array([0, 1, 127, 254, 255], np.uint8), (height, row))
        noise = draw.integers(0, 256, (height, row), dtype=np.uint8)
        buffer = np.full((height, row + int(draw.integers(0, 40))), 0x5A, np.uint8)
        buffer[:, :row] = levels if draw.random() < 0.5 else noise
        rows = buffer[::-1] if draw.random() < 0.5 else buffer
        strides = (rows.strides[0], channels, 1)
        return np.lib.stride_tricks.as_strided(rows, (height, width, channels), strides, writeable=False)

    return make


@pytest.fixture(scope="session")
def rgb_of() -> Callable[[NDArray[np.uint8], str], NDArray[np.uint8]]:
    """`rgb_of(pixels, format)`: what the picture looks like, as Python would be given it."""

    def convert(pixels: NDArray[np.uint8], format_: str) -> NDArray[np.uint8]:
        if format_ == "GRAY8":
            return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
        return np.ascontiguousarray(pixels[..., :3] if format_ == "RGB8" else pixels[..., 2::-1])

    return convert
