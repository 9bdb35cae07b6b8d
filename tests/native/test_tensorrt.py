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

import numpy as np
import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.types import Prediction

ROOT = Path(__file__).resolve().parents[2]
NVINFER = """
int getInferLibVersion(void) { return VERSION; }
void *createInferRuntime_INTERNAL(void *logger, int version) { (void)logger; (void)version; return 0; }
"""
CUDA = (ROOT / "tests" / "native" / "stand_ins" / "cuda.c").read_text()
OPENER = """
import sys
sys.path.insert(0, sys.argv[1])
import csflow_ctypes as c
try:
    c.Detector(c.load(sys.argv[2]), sys.argv[3], device=b"tensorrt-fp16")
except c.LibraryError as error:
    print(error.status, error)
"""
DETECTOR = """
import ctypes, json, math, sys
sys.path.insert(0, sys.argv[1])
import csflow_ctypes as c
said = []
with c.Detector(c.load(sys.argv[2]), sys.argv[3], device=b"tensorrt-fp16") as detector:
    for level in (50, 90, 200, 5):
        pixels = bytes([level]) * (64 * 64 * 3)
        picture = c.Picture(format=1, width=64, height=64, row_stride=192)
        picture.data = ctypes.cast(ctypes.c_char_p(pixels), ctypes.c_void_p)
        result = detector.detect(picture)
        numbers = [None if math.isnan(v) else v for v in (result.score, *detector.anomaly_map()[2])]
        said.append([result.verdict, result.reason, numbers[0], numbers[1:]])
print(json.dumps(said))
"""
STAGES = {
    "backbone": "in frame u8 -1 64 64 3\nout features_0 f32 -1 4 2 2\nout features_1 f32 -1 4 2 2\n",
    "neck": "in features_0 f32 1 4 2 2\nin features_1 f32 1 4 2 2\nout narrow f32 1 4 2 2\n",
    "head": "in narrow f32 1 4 2 2\nin features_0 f32 1 4 2 2\nout score f32 1\nout anomaly_map f32 1 2 2\n",
}
"""What stand_ins/nvinfer.cpp makes three plans of: the head gives three times the picture."""
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
        write_plans(bundle, dict.fromkeys(names, data), **changes)
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


def said_with(program: str, library: Path, bundle: Path, libraries: Path) -> str:
    """What a program prints that finds NVIDIA's libraries in `libraries` first."""
    examples = ROOT / "runtime" / "native" / "examples"
    command = [sys.executable, "-c", program, str(examples), str(library), str(bundle)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal_with(library: Path, bundle: Path, libraries: Path) -> str:
    """As `refusal`, in a process of its own."""
    return said_with(OPENER, library, bundle, libraries)


def write_plans(bundle: Bundle, plans: dict[str, bytes], **changes: Any) -> None:
    """Plans of half precision, each with its record."""
    folder = bundle.path / "engines" / "tensorrt" / "fp16"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in plans.items():
        onnx = bundle.manifest.files[f"graphs/fp16/{name}.onnx"].sha256
        record = {"onnx_sha256": onnx, "plan_sha256": hashlib.sha256(data).hexdigest(), "format_version": 1}
        record |= {"plan_size": len(data), "compute_capabilities": ["8.7"], "flavour": "tensorrt", "audit": {"any": 1}}
        (folder / f"{name}.plan").write_bytes(data)
        (folder / f"{name}.plan.json").write_text(json.dumps({**record, **changes}))


def stubs(include: Path) -> str:
    """C++ classes with every function that TensorRT's own classes call, each of which ends the process."""
    text = "#include <NvInferRuntime.h>\n#include <cstdlib>\nusing namespace nvinfer1;\n"
    header = (include / "NvInferImpl.h").read_text()
    for name in ("Runtime", "CudaEngine", "ExecutionContext"):
        (body,) = re.findall(rf"class V{name} : public VRoot\n{{(.*?)\n}};", header, re.DOTALL)
        functions = re.findall(r"virtual ([^;]+?)\s*= 0;", body)
        lines = "\n".join(f"    {function} override {{ std::abort(); }}" for function in functions)
        text += f"struct Stub{name} : apiv::V{name} {{\n{lines}\n}};\n"
    return text


@pytest.fixture
def staged(tmp_path: Path) -> Callable[..., Path]:
    """`staged(major, neck=...) -> bundle`: three plans for the stand-in of that TensorRT, and fitting golden frames."""

    def make(major: int, **changed: str) -> Path:
        manifest = Manifest(Preprocessing(64), Definitions(), {}, {}, {}, "three-graphs", tuple(STAGES))
        golden = []
        for level in (40, 100):
            score = 3 * level / 255
            frame = GoldenFrame.of(f"{level}.png", "plain", Prediction(score, np.full((2, 2), score, np.float32)))
            golden.append((np.full((64, 64, 3), level, np.uint8), frame))
        graphs = {f"graphs/fp16/{name}.onnx": name.encode() for name in STAGES}
        bundle = Bundle.create(tmp_path / "three.csflow", manifest, {**graphs, **write_golden(golden, [0.1, 0.2])})
        identity = {"weights_sha256": bundle.weights_sha256, "backend": "x", "created_utc": "x"}
        rates = {"false_reject_rate": 0.05, "confidence": 0.95, "bound": 0.05, "warn_rate": 0.1}
        calibration = {"reject_threshold": 0.9, "warn_threshold": 0.7, "scores": [0.1], **rates, **identity}
        bundle.write_calibration(schema.dump_json(calibration))
        texts = {**STAGES, **changed}
        write_plans(bundle, {name: plan((major, 3, 0)) + text.encode() for name, text in texts.items()})
        return bundle.path

    return make


def test_plans_are_refused_before_any_library_is_loaded(planned: Any, refusal: Any) -> None:
    assert refusal(planned(plan((10, 3, 0), b"nope"))).startswith("-7 ")
    assert "no TensorRT plan" in refusal(planned(b"short"))
    assert "has 100 bytes, 99 were written" in refusal(planned(plan_size=99))
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


@pytest.mark.slow
def test_the_shims_compile_and_load(built: Path, shims: dict[int, Any], planned: Any, run: Run, tmp_path: Path) -> None:
    stand_ins = tmp_path / "lib"
    shared(run, stand_ins, "libcuda.so.1", CUDA, FAULT=0)
    for major, shim in shims.items():
        assert "nv" not in run("ldd", shim.library).lower()
        shutil.copy(shim.library, stand_ins)
        shared(run, stand_ins, f"libnvinfer.so.{major}", NVINFER, VERSION=major * 10000 + 300)
        said = refusal_with(built / "libcsflow.so", planned(plan((major, 3, 0))), stand_ins)
        assert said.startswith("-7 TensorRT cannot start: no reason given; run 'csflow export --fp16'")


def test_plans_run_in_order_joined_by_name(
    built: Path, shims: dict[int, Any], run: Run, tmp_path: Path, staged: Callable[..., Path]
) -> None:
    stand_ins = tmp_path / "lib"
    shared(run, stand_ins, "libcuda.so.1", CUDA, FAULT=0)
    for major, shim in shims.items():
        shutil.copy(shim.library, stand_ins)
        (stand_ins / "stubs.h").write_text(stubs(shim.include))
        source = ROOT / "tests" / "native" / "stand_ins" / "nvinfer.cpp"
        flags = ("-std=c++17", "-shared", "-fPIC", "-w", f"-I{stand_ins}", f"-I{shim.include}", f"-I{shim.cuda}")
        version = f"-DVERSION={major * 10000 + 300}"
        run("c++", *flags, version, source, "-o", stand_ins / f"libnvinfer.so.{major}")
        said = json.loads(said_with(DETECTOR, built / "libcsflow.so", staged(major), stand_ins))
        for (verdict, reason, score, values), level in zip(said[:3], (50, 90, 200), strict=True):
            assert (verdict, reason) == ((1, 0) if level == 50 else (2, 2))
            assert [score, *values] == pytest.approx([3 * level / 255] * 5, rel=1e-6)
        # The head's maximum has swallowed a NaN of the backbone's.
        assert said[3] == [4, 207, None, [None] * 4]
        other = staged(major, neck=STAGES["neck"].replace("narrow f32 1 4 2 2", "narrow f32 1 4 2 3"))
        assert "do not agree on the type or size of narrow" in refusal_with(built / "libcsflow.so", other, stand_ins)
