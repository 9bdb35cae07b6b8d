"""What doctor says of GPUs, drivers and TensorRT: none, whole, broken, on a Jetson, in the wrong place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from csflow.runtime.doctor.examination import examine
from csflow.runtime.doctor.finding import Finding
from csflow.runtime.doctor.gpu import check_gpu, check_jetpack, check_tensorrt
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Answer, Machine

Described = Callable[..., Machine]
TEGRA = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan 8 2025\n"
JETPACK = "Package: nvidia-jetpack\nStatus: install ok installed\nArchitecture: arm64\nVersion: 6.2+b77\n\n"
BINDINGS = "Package: python3-libnvinfer\nStatus: install ok installed\nVersion: 10.3.0.30-1+cuda12.5\n\n"
DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
NO_LIBRARY = Answer({"code": -1}, "libcuda.so.1: cannot open shared object file")


def gpu(major: int = 8, minor: int = 6, integrated: int = 0) -> Answer:
    device = {"name": "RTX", "memory": 24 * 10**9, "major": major, "minor": minor, "multiprocessors": 84}
    return Answer({"code": 0, "cuda": 13000, "devices": [{**device, "integrated": integrated}]})


def one(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_no_gpu(machine: Described) -> None:
    finding = one(check_gpu(machine()))
    assert (finding.status, finding.fix) == ("missing", "")


def test_gpu(machine: Described) -> None:
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
def test_broken_drivers(machine: Described, files: dict[str, str], answer: Answer, fix: str) -> None:
    finding = one(check_gpu(machine(files, {"cuda": answer})))
    assert finding.status != "ok"
    assert finding.fix.startswith(fix)
    assert answer.problem in finding.what


@pytest.mark.parametrize(("kind", "driver_wanted"), [("0x030200", True), ("0x040300", False)])
def test_a_gpu_without_driver(machine: Described, kind: str, driver_wanted: bool) -> None:
    card = "sys/bus/pci/devices/0000:01:00.0"
    finding = one(check_gpu(machine({f"{card}/vendor": "0x10de\n", f"{card}/class": f"{kind}\n"})))
    assert ("ubuntu-drivers" in finding.fix) is driver_wanted, "an NVIDIA sound function is no GPU"


def test_jetpack(machine: Described) -> None:
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
        ({}, {}, {}, "missing", pip_install("tensorrt-rtx")),
        ({}, {}, {"cuda": gpu()}, "missing", pip_install("tensorrt")),
    ],
)
def test_tensorrt(
    machine: Described,
    files: dict[str, str],
    modules: dict[str, str],
    answers: dict[str, Answer],
    status: str,
    fix: str,
) -> None:
    finding = one(check_tensorrt(machine(files, answers, modules=modules)))
    assert finding.status == status
    assert finding.fix.startswith(fix)
    assert bool(finding.fix) is bool(fix)


def test_the_loader_s_message_is_shown(machine: Described) -> None:
    there = machine(answers={"tensorrt tensorrt": BROKEN}, modules={"tensorrt": WHEEL})
    assert BROKEN.problem in one(check_tensorrt(there)).what


def test_no_advice_on_a_jetson_is_to_install_tensorrt_by_pip(machine: Described) -> None:
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
def test_rtx_on_gpus_that_it_does_not_support(machine: Described, major: int, minor: int, status: str) -> None:
    answers = {"cuda": gpu(major, minor), "tensorrt tensorrt_rtx": Answer({"version": "1.7.1.116"})}
    finding = one(check_tensorrt(machine(answers=answers, modules={"tensorrt_rtx": WHEEL})))
    assert finding.status == status
    assert (f"compute capability {major}.{minor}" in finding.what) is (status == "warning")


def test_rtx_without_a_gpu_builds(machine: Described) -> None:
    answers = {"tensorrt tensorrt_rtx": Answer({"version": "1.7.1.116"})}
    assert one(check_tensorrt(machine(answers=answers, modules={"tensorrt_rtx": WHEEL}))).status == "ok"


def test_a_driver_is_asked_once(machine: Described) -> None:
    asked: list[str] = []

    def ask(*question: str) -> Answer:
        asked.append(" ".join(question))
        return NO_LIBRARY

    examine(machine(ask=ask), checks={"GPU": check_gpu, "TensorRT": check_tensorrt})
    assert asked == ["cuda"]
