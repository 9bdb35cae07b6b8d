"""TensorRT in libcsflow, as far as it goes without a GPU: what is refused, and that the shims compile and load."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from csflow.runtime.bundle.directory import Bundle

ROOT = Path(__file__).resolve().parents[2]
NVINFER = """
int getInferLibVersion(void) { return VERSION; }
void *createInferRuntime_INTERNAL(void *logger, int version) { (void)logger; (void)version; return 0; }
"""
CUDA = """
#include <stddef.h>
int cuInit(unsigned flags) { (void)flags; return FAULT; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { (void)device; *value = which == 75 ? 8 : 7; return 0; }
""" + "\n".join(
    f"int {name}(void) {{ return 0; }}"
    for name in (
        "cuDeviceGet cuDevicePrimaryCtxRetain cuDevicePrimaryCtxRelease_v2 cuCtxPushCurrent_v2 cuCtxPopCurrent_v2 "
        "cuMemAlloc_v2 cuMemFree_v2 cuMemHostAlloc cuMemFreeHost cuMemcpyHtoDAsync_v2 cuMemcpyDtoHAsync_v2 "
        "cuStreamCreate cuStreamDestroy_v2 cuStreamSynchronize"
    ).split()
)
OPENER = """
import sys
sys.path.insert(0, sys.argv[1])
import csflow_ctypes as c
try:
    c.Detector(c.load(sys.argv[2]), sys.argv[3], device=b"tensorrt-fp16")
except c.LibraryError as error:
    print(error.status, error)
"""
Run = Callable[..., str]


def shared(run: Run, folder: Path, name: str, source: str, **macros: int) -> None:
    """Compile a stand-in for one of NVIDIA's libraries."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.c").write_text(source)
    defined = [f"-D{key}={value}" for key, value in macros.items()]
    run("cc", "-shared", "-fPIC", "-w", *defined, folder / f"{name}.c", "-o", folder / name)


def plan(version: tuple[int, int, int], tag: bytes = b"ftrt") -> bytes:
    return struct.pack("<4sI8xQ4B", tag, 0, 100, *version, 26).ljust(100, b"\0")


@pytest.fixture
def planned(calibrated_bundle: Bundle) -> Callable[..., Path]:
    """`planned(data=..., **record) -> bundle`: a bundle with graphs and plans of TensorRT 10.3.0 for 8.7."""

    def make(data: bytes = plan((10, 3, 0)), **changes: Any) -> Path:
        names = ("backbone", "flow")
        bundle = calibrated_bundle.update({f"graphs/fp16/{name}.onnx": name.encode() for name in names})
        folder = bundle.path / "engines" / "tensorrt" / "fp16"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            onnx = bundle.manifest.files[f"graphs/fp16/{name}.onnx"].sha256
            record = {"onnx_sha256": onnx, "plan_sha256": hashlib.sha256(data).hexdigest(), "format_version": 1}
            record |= {"plan_size": len(data)}
            record |= {"compute_capabilities": ["8.7"], "flavour": "tensorrt", "audit": {"any": 1}, **changes}
            (folder / f"{name}.plan").write_bytes(data)
            (folder / f"{name}.plan.json").write_text(json.dumps(record))
        return bundle.path

    return make


@pytest.fixture
def refusal(library: ctypes.CDLL, binding: ModuleType) -> Callable[[Path], str]:
    """`refusal(bundle) -> "status words"`, in this process."""

    def opened(bundle: Path) -> str:
        with pytest.raises(binding.LibraryError) as caught:
            binding.Detector(library, str(bundle), device=b"tensorrt-fp16")
        return f"{caught.value.status} {caught.value}"

    return opened


def refusal_with(library: Path, bundle: Path, libraries: Path) -> str:
    """As `refusal`, in a process that finds NVIDIA's libraries in `libraries` first."""
    examples = ROOT / "runtime" / "native" / "examples"
    command = [sys.executable, "-c", OPENER, str(examples), str(library), str(bundle)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plans_are_refused_before_any_library_is_loaded(planned: Any, refusal: Any) -> None:
    assert refusal(planned(plan((10, 3, 0), b"nope"))).startswith("-7 ")
    assert "no TensorRT plan" in refusal(planned(b"short"))
    assert "has 100 bytes, 99 were built" in refusal(planned(plan_size=99))
    assert "cut off" in refusal(planned(b"ftrt" + bytes(30)))
    assert "serialisation" in refusal(planned(b"ftrt\1" + bytes(95)))
    rtx = refusal(planned(plan((1, 7, 1), b"vtrt")))
    assert rtx.startswith("-9 ")
    assert "TensorRT for RTX" in rtx
    assert "another graph" in refusal(planned(onnx_sha256="0" * 64))
    assert refusal(planned(plan_sha256="0" * 64)).startswith("-6 ")
    assert refusal(planned(plan_sha256=7)).startswith("-7 ")
    assert "update csflow" in refusal(planned(format_version=2))


def test_a_bundle_without_plans_says_what_makes_them(calibrated_bundle: Bundle, refusal: Any) -> None:
    said = refusal(calibrated_bundle.path)
    assert said.startswith("-4 ")
    assert "csflow export --fp16" in said


def test_libraries_and_gpus_that_do_not_fit(built: Path, planned: Any, run: Run, tmp_path: Path) -> None:
    library, stand_ins = built / "libcsflow.so", tmp_path / "lib"
    shared(run, stand_ins, "libcuda.so.1", CUDA, FAULT=100)
    missing = refusal_with(library, planned(plan((10, 99, 0))), stand_ins)
    assert missing.startswith(("-8 TensorRT cannot be loaded", "-9 the plan was built by TensorRT 10.99.0"))

    shared(run, stand_ins, "libnvinfer.so.10", NVINFER, VERSION=101300)
    other = refusal_with(library, planned(), stand_ins)
    assert other.startswith("-9 the plan was built by TensorRT 10.3.0.26, this machine has 10.13.0")

    shared(run, stand_ins, "libnvinfer.so.10", NVINFER, VERSION=100300)
    assert refusal_with(library, planned(), stand_ins).startswith("-8 NVIDIA's driver finds no GPU (cuInit gave 100)")

    shared(run, stand_ins, "libcuda.so.1", CUDA, FAULT=0)
    foreign = refusal_with(library, planned(compute_capabilities=["8.9"]), stand_ins)
    assert foreign.startswith("-9 the plan was built for compute capability 8.9, this GPU has 8.7")

    without_shim = refusal_with(library, planned(), stand_ins)
    assert without_shim.startswith("-8 libcsflow_trt cannot be loaded")
    assert "-DCSFLOW_TENSORRT_INCLUDE" in without_shim


def headers(variable: str, candidates: list[Path], file: str) -> list[Path]:
    """Folders that hold `file`: those of an environment variable, else those of `candidates`."""
    named = [Path(folder) for folder in os.environ.get(variable, "").split(";") if folder]
    return [folder for folder in named or candidates if (folder / file).is_file()]


@pytest.mark.slow
def test_the_shims_compile_and_load(built: Path, planned: Any, run: Run, tmp_path: Path) -> None:
    tensorrt = headers(
        "CSFLOW_TENSORRT_INCLUDE", sorted((ROOT / "out/native/headers").glob("*/include")), "NvInferRuntime.h"
    )
    wheels = [Path(folder) / "nvidia" / "cu13" / "include" for folder in sys.path]
    toolkits = sorted(Path("/usr/local").glob("cuda*/include"))
    cuda = headers("CSFLOW_CUDA_INCLUDE", wheels + toolkits, "crt/host_defines.h")
    if not tensorrt or not cuda:
        pytest.skip("no headers of TensorRT or CUDA: see docs/native.md")
    folder = ROOT / "out" / "native" / "tensorrt"
    include = (f"-DCSFLOW_TENSORRT_INCLUDE={';'.join(map(str, tensorrt))}", f"-DCSFLOW_CUDA_INCLUDE={cuda[0]}")
    run("cmake", "-S", ROOT, "-B", folder, "-DCSFLOW_BUILD_TESTS=OFF", "-DCSFLOW_WARNINGS_AS_ERRORS=ON", *include)
    majors = [re.search(r"MAJOR\D* (\d+)", (path / "NvInferVersion.h").read_text()) for path in tensorrt]
    stand_ins = tmp_path / "lib"
    shared(run, stand_ins, "libcuda.so.1", CUDA, FAULT=0)
    for found in majors:
        assert found is not None
        major = int(found[1])
        run("cmake", "--build", folder, "--target", f"csflow_trt{major}")
        shim = folder / f"libcsflow_trt{major}.so"
        assert "nv" not in run("ldd", shim).lower()
        shutil.copy(shim, stand_ins)
        shared(run, stand_ins, f"libnvinfer.so.{major}", NVINFER, VERSION=major * 10000 + 300)
        said = refusal_with(built / "libcsflow.so", planned(plan((major, 3, 0))), stand_ins)
        assert said.startswith("-7 TensorRT cannot start: no reason given; run 'csflow export --fp16'")
