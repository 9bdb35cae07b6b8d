"""What doctor says of machines that are described here: a bare PC, a Jetson, broken drivers, half-installed extras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime import doctor
from csflow.runtime.bundle import Bundle
from csflow.runtime.doctor import CHECKS, examination_lines, examine
from csflow.runtime.doctor_bundle import check_bundle
from csflow.runtime.doctor_gpu import check_gpu, check_jetpack, check_tensorrt
from csflow.runtime.doctor_system import check_cache, check_disk, check_extras, check_memory, check_processor
from csflow.runtime.doctor_vision import check_cameras, check_gstreamer, check_opencv, check_openvino
from csflow.runtime.finding import STATUSES, Finding
from csflow.runtime.machine import Answer, Machine

CPUINFO = (
    "processor\t: 0\nmodel name\t: Intel Xeon\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\nmodel name\t: Intel Xeon\n"
)
MEMINFO = "MemTotal:       {total} kB\nMemFree:        1 kB\nMemAvailable:   {free} kB\n"
TEGRA = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan 8 2025\n"
JETPACK = "Package: nvidia-jetpack\nStatus: install ok installed\nArchitecture: arm64\nVersion: 6.2+b77\n\n"
BINDINGS = "Package: python3-libnvinfer\nStatus: install ok installed\nVersion: 10.3.0.30-1+cuda12.5\n\n"
DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
NO_LIBRARY = Answer({"code": -1}, "libcuda.so.1: cannot open shared object file")
BUILD = "  Video I/O:\n    FFMPEG:           {}\n    GStreamer:  {}\n    v4l/v4l2:   {} (linux/videodev2.h)\n"
REQUIREMENTS = (
    "click>=8.1",
    'opencv-python-headless>=4.8; extra == "camera"',
    'openvino>=2024.6; extra == "openvino"',
    'csflow[camera]; extra == "openvino"',
    'torch>=2.9; extra == "train"',
    'csflow[train]; extra == "export"',
    "onnx>=1.17; extra == 'export'",
)


def gpu(major: int = 8, minor: int = 6, integrated: int = 0) -> Answer:
    device = {"name": "RTX", "memory": 24 * 10**9, "major": major, "minor": minor, "multiprocessors": 84}
    return Answer({"code": 0, "cuda": 13000, "devices": [{**device, "integrated": integrated}]})


class Fake:
    """Builds a `Machine` over a folder; everything not stated is absent."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self,
        files: Mapping[str, str] | None = None,
        answers: Mapping[str, Answer] | None = None,
        versions: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
        **other: Any,
    ) -> Machine:
        for name, text in (files or {}).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        known = {"cuda": NO_LIBRARY, **(answers or {})}
        paths = {name: Path(path) for name, path in (modules or {}).items()}
        parts: dict[str, Any] = {
            "root": self.root,
            "ask": lambda *question: known[" ".join(question)],
            "version": (versions or {}).get,
            "module": paths.get,
            "requirements": lambda: REQUIREMENTS,
            "which": lambda _: None,
            "usable": lambda _: True,
            "cores": lambda: 2,
            "disk_free": lambda _: 10**12,
        }
        return Machine(**{**parts, **other})


@pytest.fixture
def machine(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "root")


def one(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_every_gap_that_software_can_close_names_its_command(machine: Fake) -> None:
    found = examine(machine(), Path("/no/such/bundle"))
    assert found.broken == ()
    assert {f.status for f in found.findings} <= set(STATUSES)
    without = [f.topic for f in found.findings if f.status != "ok" and not f.fix]
    assert without == ["GPU"], "only a GPU that is not there cannot be installed"


def test_a_check_that_breaks_is_reported_and_stops_no_other(machine: Fake) -> None:
    def broken(_: Machine) -> list[Finding]:
        raise ZeroDivisionError("oh")

    found = examine(machine(), checks={"bad": broken, "disk": check_disk})
    assert found.broken == ("bad",)
    assert "ZeroDivisionError: oh" in found.findings[0].what
    assert found.findings[1].status == "ok"


def test_a_driver_is_asked_once(machine: Fake) -> None:
    asked: list[str] = []

    def ask(*question: str) -> Answer:
        asked.append(" ".join(question))
        return NO_LIBRARY

    examine(machine(ask=ask), checks={"GPU": check_gpu, "TensorRT": check_tensorrt})
    assert asked == ["cuda"]


def test_lines_are_aligned_and_the_fix_stands_below() -> None:
    lines = examination_lines([Finding("GPU", "ok", "there"), Finding("OpenVINO", "missing", "gone", "pip install x")])
    assert lines[0].index("there") == lines[1].index("gone") == lines[2].index("-> pip install x")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("flags", "says", "not_says"),
    [
        ("avx2 avx512_bf16 amx_bf16 amx_tile", "AMX bfloat16", "no bfloat16"),
        ("avx2", "no bfloat16", "AMX"),
    ],
)
def test_processor(machine: Fake, flags: str, says: str, not_says: str) -> None:
    finding = one(check_processor(machine({"proc/cpuinfo": CPUINFO.format(flags=flags)}, cores=lambda: 1)))
    assert finding.status == "ok"
    assert "1 of 2 cores" in finding.what
    assert says in finding.what
    assert not_says not in finding.what


def test_arm_processor_is_named_by_its_board(machine: Fake) -> None:
    files = {"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd bf16\n", "proc/device-tree/model": "Jetson Orin\0"}
    finding = one(check_processor(machine(files)))
    assert finding.what == "Jetson Orin, 2 of 1 cores usable; bfloat16"


@pytest.mark.parametrize(
    ("free", "limit", "status", "says"),
    [
        (8_000_000, "max", "ok", "8.2 GB free of 16.4 GB"),
        (1_000_000, "max", "warning", "1.0 GB free"),
        (8_000_000, "1500000000", "warning", "1.0 GB free of 1.5 GB (limit of this container)"),
    ],
)
def test_memory(machine: Fake, free: int, limit: str, status: str, says: str) -> None:
    files = {
        "proc/meminfo": MEMINFO.format(total=16_000_000, free=free),
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.current": "500000000",
    }
    finding = one(check_memory(machine(files)))
    assert finding.status == status
    assert says in finding.what


def test_full_disk(machine: Fake) -> None:
    assert one(check_disk(machine(disk_free=lambda _: 10**9))).status == "warning"
    assert one(check_disk(machine())).status == "ok"


def test_cache_directory(machine: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "a" / "b"))
    assert one(check_cache(machine())).status == "ok"
    assert one(check_cache(machine(usable=lambda _: False))).status == "warning"
    assert not (tmp_path / "a").exists(), "doctor only looks"
    (tmp_path / "a").write_text("a file in the way")
    finding = one(check_cache(machine()))
    assert finding.status == "warning"
    assert "CSFLOW_CACHE" in finding.fix


def extras(machine: Machine) -> dict[str, Finding]:
    return {f.topic.removeprefix("extra "): f for f in check_extras(machine)}


def test_extras(machine: Fake) -> None:
    found = extras(machine(versions={"torch": "2.15.0+cu132", "openvino": "2024.5.0", "opencv-python-headless": "5.0"}))
    assert found["camera"].status == found["train"].status == "ok"
    assert found["export"].what == "not complete: onnx"
    assert found["export"].fix == "pip install 'csflow[export]'"
    assert found["openvino"].what == "not complete: openvino 2024.5.0 (needs 2024.6)"


def test_debian_s_opencv_counts(machine: Fake) -> None:
    there = machine(modules={"cv2": "/usr/lib/python3/dist-packages/cv2.so"})
    assert extras(there)["camera"].status == "ok"
    assert extras(machine())["camera"].status == "missing"


def test_the_real_metadata_names_every_extra() -> None:
    assert all("does not name" not in finding.what for finding in check_extras(Machine()))


def test_no_gpu(machine: Fake) -> None:
    finding = one(check_gpu(machine()))
    assert (finding.status, finding.fix) == ("missing", "")


def test_gpu(machine: Fake) -> None:
    finding = one(check_gpu(machine({"proc/driver/nvidia/version": DRIVER}, {"cuda": gpu()})))
    assert finding.status == "ok"
    for part in ("RTX", "compute capability 8.6", "24.0 GB", "580.95.05", "CUDA up to 13.0"):
        assert part in finding.what


@pytest.mark.parametrize(
    ("files", "answer", "fix"),
    [
        ({"proc/driver/nvidia/version": DRIVER}, NO_LIBRARY, "docker run --gpus all"),
        ({}, Answer({"code": 803}, "cuInit says CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"), "sudo reboot"),
        ({}, Answer({"code": 999}, "cuInit says CUDA_ERROR_UNKNOWN (999)"), "sudo reboot"),
        ({}, Answer(problem="gave no answer within 20 s"), "sudo reboot"),
        ({}, Answer({"code": 0, "cuda": 13000, "devices": []}), "nvidia-smi"),
    ],
)
def test_broken_drivers(machine: Fake, files: dict[str, str], answer: Answer, fix: str) -> None:
    finding = one(check_gpu(machine(files, {"cuda": answer})))
    assert finding.status != "ok"
    assert finding.fix.startswith(fix)
    assert answer.problem in finding.what


@pytest.mark.parametrize(("kind", "driver_wanted"), [("0x030200", True), ("0x040300", False)])
def test_a_gpu_without_driver(machine: Fake, kind: str, driver_wanted: bool) -> None:
    card = "sys/bus/pci/devices/0000:01:00.0"
    finding = one(check_gpu(machine({f"{card}/vendor": "0x10de\n", f"{card}/class": f"{kind}\n"})))
    assert ("ubuntu-drivers" in finding.fix) is driver_wanted, "an NVIDIA sound function is no GPU"


def test_jetpack(machine: Fake) -> None:
    assert check_jetpack(machine()) == []
    bare = one(check_jetpack(machine({"etc/nv_tegra_release": TEGRA})))
    assert bare.fix == "sudo apt install nvidia-jetpack"
    assert "Jetson Linux 36.4.3, JetPack 6 (comes with TensorRT 10.3)" in bare.what
    whole = one(check_jetpack(machine({"var/lib/dpkg/status": "Package: x\nVersion: 1\n\n" + JETPACK})))
    assert whole.status == "ok"
    assert "nvidia-jetpack 6.2+b77" in whole.what
    assert "never 'pip install tensorrt'" in whole.what


JETSON = {"etc/nv_tegra_release": TEGRA}
DEBIAN = "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py"
WHEEL = "/venv/lib/python3.10/site-packages/tensorrt/__init__.py"
LOCAL = "/usr/local/lib/python3.10/dist-packages/tensorrt/__init__.py"
TRT = Answer({"version": "10.3.0"})
BROKEN = Answer(problem="ImportError: libnvdla_compiler.so: cannot open shared object file")


@pytest.mark.parametrize(
    ("files", "modules", "answers", "status", "fix"),
    [
        (JETSON, {"tensorrt": DEBIAN}, {"tensorrt tensorrt": TRT}, "ok", ""),
        (JETSON, {"tensorrt": WHEEL}, {}, "warning", "pip uninstall -y tensorrt"),
        (JETSON, {"tensorrt": LOCAL}, {}, "warning", "pip uninstall -y tensorrt"),
        (JETSON, {}, {}, "missing", "sudo apt install python3-libnvinfer"),
        (
            {**JETSON, "var/lib/dpkg/status": BINDINGS},
            {},
            {},
            "warning",
            "/usr/bin/python3 -m venv --system-site-packages",
        ),
        (JETSON, {"tensorrt": DEBIAN}, {"tensorrt tensorrt": BROKEN}, "warning", "sudo apt install --reinstall"),
        ({}, {"tensorrt": WHEEL}, {"tensorrt tensorrt": TRT}, "ok", ""),
        ({}, {"tensorrt": WHEEL}, {"tensorrt tensorrt": BROKEN}, "warning", "pip install --force-reinstall tensorrt"),
        ({}, {}, {}, "missing", "pip install 'csflow[tensorrt-rtx]'"),
        ({}, {}, {"cuda": gpu()}, "missing", "pip install 'csflow[tensorrt]'"),
    ],
)
def test_tensorrt(
    machine: Fake, files: dict[str, str], modules: dict[str, str], answers: dict[str, Answer], status: str, fix: str
) -> None:
    finding = one(check_tensorrt(machine(files, answers, modules=modules)))
    assert finding.status == status
    assert finding.fix.startswith(fix)
    assert bool(finding.fix) is bool(fix)


def test_the_loader_s_message_is_shown(machine: Fake) -> None:
    there = machine(answers={"tensorrt tensorrt": BROKEN}, modules={"tensorrt": WHEEL})
    assert BROKEN.problem in one(check_tensorrt(there)).what


def test_no_advice_on_a_jetson_is_to_install_tensorrt_by_pip(machine: Fake) -> None:
    for modules in ({}, {"tensorrt": WHEEL}, {"tensorrt": DEBIAN}, {"tensorrt_rtx": WHEEL}):
        answers = {"cuda": gpu(8, 7, 1), "tensorrt tensorrt": BROKEN, "tensorrt tensorrt_rtx": TRT}
        for finding in check_tensorrt(machine(JETSON, answers, modules=modules)):
            assert "pip install" not in finding.fix


@pytest.mark.parametrize(
    ("major", "minor", "status"),
    [
        (7, 5, "ok"),
        (8, 6, "ok"),
        (8, 7, "warning"),
        (9, 0, "warning"),
        (11, 0, "warning"),
        (12, 1, "ok"),
        (13, 0, "ok"),
    ],
)
def test_rtx_on_gpus_that_it_does_not_support(machine: Fake, major: int, minor: int, status: str) -> None:
    answers = {"cuda": gpu(major, minor), "tensorrt tensorrt_rtx": Answer({"version": "1.7.1.116"})}
    finding = one(check_tensorrt(machine(answers=answers, modules={"tensorrt_rtx": WHEEL})))
    assert finding.status == status
    assert (f"compute capability {major}.{minor}" in finding.what) is (status == "warning")


def test_rtx_without_a_gpu_builds(machine: Fake) -> None:
    answers = {"tensorrt tensorrt_rtx": Answer({"version": "1.7.1.116"})}
    assert one(check_tensorrt(machine(answers=answers, modules={"tensorrt_rtx": WHEEL}))).status == "ok"


def test_openvino(machine: Fake) -> None:
    values = {"version": "2026.4.1-22982-abc", "devices": {"CPU": {"name": "Xeon", "capabilities": ["BF16"]}}}
    there = {"openvino": "/x/openvino/__init__.py"}
    assert one(check_openvino(machine())).fix == "pip install 'csflow[openvino]'"
    assert one(check_openvino(machine(answers={"openvino": Answer(values)}, modules=there))).what == (
        "2026.4.1 on CPU (Xeon)"
    )
    crash = Answer(problem="crashed with SIGILL")
    finding = one(check_openvino(machine(answers={"openvino": crash}, modules=there)))
    assert finding.status == "warning"
    assert "SIGILL" in finding.what


@pytest.mark.parametrize(
    ("built", "status", "without"),
    [
        (("YES", "YES (1.20.3)", "YES"), "ok", ""),
        (("YES", "NO", "YES"), "ok", "without GStreamer"),
        (("NO", "YES", "YES"), "warning", "without FFmpeg"),
    ],
)
def test_opencv(machine: Fake, built: tuple[str, ...], status: str, without: str) -> None:
    answer = Answer({"version": "5.0.0", "build": BUILD.format(*built)})
    finding = one(check_opencv(machine(answers={"opencv": answer}, modules={"cv2": "/x/cv2.so"})))
    assert finding.status == status
    assert without in finding.what
    assert ("without" in finding.what) is bool(without)


def test_gstreamer(machine: Fake) -> None:
    assert one(check_gstreamer(machine())).status == "missing"
    assert one(check_gstreamer(machine(which=lambda name: f"/usr/bin/{name}"))).what == "/usr/bin/gst-launch-1.0"


def test_cameras(machine: Fake) -> None:
    assert one(check_cameras(machine())).status == "missing"
    files = {
        "dev/video0": "",
        "dev/v4l/by-id/usb-Maker_Cam-video-index0": "",
        "sys/class/video4linux/video0/name": "Maker Cam\n",
    }
    named, stable = check_cameras(machine(files))
    assert named.what == "/dev/video0 (Maker Cam)"
    assert "/dev/v4l/by-id/usb-Maker_Cam-video-index0" in stable.what
    closed = one(check_cameras(machine(usable=lambda _: False)))
    assert closed.status == "warning"
    assert "usermod -aG video" in closed.fix


def of_bundle(machine: Machine, path: Path) -> list[tuple[str, str]]:
    return [(finding.status, finding.fix) for finding in check_bundle(machine, path)]


def test_a_bundle_that_only_torch_can_run(machine: Fake, calibrated_bundle: Bundle) -> None:
    path = calibrated_bundle.path
    export = ("missing", f"csflow export --bundle {path}")
    assert of_bundle(machine(), path) == [("ok", ""), ("ok", ""), export, ("missing", "pip install 'csflow[train]'")]


def test_a_bundle_that_is_ready(machine: Fake, calibrated_bundle: Bundle) -> None:
    bundle = calibrated_bundle.update({"graphs/fp32/flow.onnx": b"x", "graphs/fp32/backbone.onnx": b"x"})
    there = machine(modules={"openvino": "/x"})
    assert of_bundle(there, bundle.path) == [("ok", "")] * 4
    assert "openvino" in check_bundle(there, bundle.path)[-1].what
    assert of_bundle(machine(), bundle.path)[-1] == ("missing", "pip install 'csflow[openvino]'")


def test_a_bundle_without_or_with_another_model_s_thresholds(machine: Fake, calibrated_bundle: Bundle) -> None:
    fix = f"csflow calibrate GOOD_PARTS --bundle {calibrated_bundle.path}"
    calibrated_bundle.update({"weights/flow.safetensors": b"other"})
    assert of_bundle(machine(), calibrated_bundle.path)[1] == ("warning", fix)
    (calibrated_bundle.path / "calibration.json").unlink()
    assert of_bundle(machine(), calibrated_bundle.path)[1] == ("missing", fix)


def test_no_bundle(machine: Fake, tmp_path: Path) -> None:
    assert one(check_bundle(machine(), tmp_path / "none")).status == "warning"


def test_every_check_of_the_package_is_run() -> None:
    defined = {value for name, value in vars(doctor).items() if name.startswith("check_") and name != "check_bundle"}
    assert defined == set(CHECKS.values())
