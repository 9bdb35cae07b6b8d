"""What doctor says of machines that are described here: processor, memory, disk, half-installed extras, bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.doctor import examination as doctor
from csflow.runtime.doctor.bundle import check_bundle
from csflow.runtime.doctor.examination import CHECKS, examination_lines, examine
from csflow.runtime.doctor.finding import STATUSES, Finding
from csflow.runtime.doctor.system import check_cache, check_disk, check_extras, check_memory, check_processor
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine

Described = Callable[..., Machine]
CPUINFO = (
    "processor\t: 0\nmodel name\t: Intel Xeon\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\nmodel name\t: Intel Xeon\n"
)
MEMINFO = "MemTotal:       {total} kB\nMemFree:        1 kB\nMemAvailable:   {free} kB\n"


def one(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_every_gap_that_software_can_close_names_its_command(machine: Described) -> None:
    found = examine(machine(), Path("/no/such/bundle"))
    assert found.broken == ()
    assert {f.status for f in found.findings} <= set(STATUSES)
    without = [f.topic for f in found.findings if f.status != "ok" and not f.fix]
    assert without == ["GPU"], "only a GPU that is not there cannot be installed"


def test_a_check_that_breaks_is_reported_and_stops_no_other(machine: Described) -> None:
    def broken(_: Machine) -> list[Finding]:
        raise ZeroDivisionError("oh")

    found = examine(machine(), checks={"bad": broken, "disk": check_disk})
    assert found.broken == ("bad",)
    assert "ZeroDivisionError: oh" in found.findings[0].what
    assert found.findings[1].status == "ok"


def test_lines_are_aligned_and_the_fix_stands_below() -> None:
    lines = examination_lines([Finding("GPU", "ok", "there"), Finding("OpenVINO", "missing", "gone", "pip install x")])
    assert lines[0].index("there") == lines[1].index("gone") == lines[2].index("-> pip install x")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("flags", "says", "not_says"),
    [
        ("avx2 avx512_bf16 amx_bf16 amx_tile", "AMX bfloat16", "no bfloat16"),
        ("avx2", "no bfloat16", "AMX"),
        ("avx2 avx512f", "; no VNNI: OpenVINO computes int8 graphs in float32", "AMX"),
        ("avx2 avx_vnni", "VNNI (int8)", "no VNNI"),
    ],
)
def test_processor(machine: Described, flags: str, says: str, not_says: str) -> None:
    finding = one(check_processor(machine({"proc/cpuinfo": CPUINFO.format(flags=flags)}, cores=lambda: 1)))
    assert finding.status == "ok"
    assert "1 of 2 cores" in finding.what
    assert says in finding.what
    assert not_says not in finding.what


def test_arm_processor_is_named_by_its_board(machine: Described) -> None:
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
def test_memory(machine: Described, free: int, limit: str, status: str, says: str) -> None:
    files = {
        "proc/meminfo": MEMINFO.format(total=16_000_000, free=free),
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.current": "500000000",
    }
    finding = one(check_memory(machine(files)))
    assert finding.status == status
    assert says in finding.what


def test_full_disk(machine: Described) -> None:
    assert one(check_disk(machine(disk_free=lambda _: 10**9))).status == "warning"
    assert one(check_disk(machine())).status == "ok"


def test_cache_directory(machine: Described, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_extras(machine: Described) -> None:
    found = extras(machine(versions={"torch": "2.15.0+cu132", "openvino": "2024.5.0", "opencv-python-headless": "5.0"}))
    assert found["camera"].status == found["train"].status == "ok"
    assert found["export"].what == "not complete: onnx"
    assert found["export"].fix == pip_install("export")
    assert found["openvino"].what == "not complete: openvino 2024.5.0 (needs 2024.6)"


def test_debian_s_opencv_counts(machine: Described) -> None:
    there = machine(modules={"cv2": "/usr/lib/python3/dist-packages/cv2.so"})
    assert extras(there)["camera"].status == "ok"
    assert extras(machine())["camera"].status == "missing"


def test_the_real_metadata_names_every_extra() -> None:
    assert all("does not name" not in finding.what for finding in check_extras(Machine()))


def of_bundle(machine: Machine, path: Path) -> list[tuple[str, str]]:
    return [(finding.status, finding.fix) for finding in check_bundle(machine, path)]


def test_a_bundle_that_only_torch_can_run(machine: Described, calibrated_bundle: Bundle) -> None:
    path = calibrated_bundle.path
    export = ("missing", f"csflow export --bundle {path}")
    assert of_bundle(machine(), path) == [("ok", ""), ("ok", ""), export, ("missing", pip_install("train"))]


def test_a_bundle_that_is_ready(machine: Described, calibrated_bundle: Bundle) -> None:
    bundle = calibrated_bundle.update({"graphs/fp32/flow.onnx": b"x", "graphs/fp32/backbone.onnx": b"x"})
    there = machine(modules={"openvino": "/x"})
    assert of_bundle(there, bundle.path) == [("ok", "")] * 4
    assert "openvino" in check_bundle(there, bundle.path)[-1].what
    assert of_bundle(machine(), bundle.path)[-1] == ("missing", pip_install("openvino"))


def test_a_bundle_without_or_with_another_model_s_thresholds(machine: Described, calibrated_bundle: Bundle) -> None:
    fix = f"csflow calibrate GOOD_PARTS --bundle {calibrated_bundle.path}"
    calibrated_bundle.update({"weights/flow.safetensors": b"other"})
    assert of_bundle(machine(), calibrated_bundle.path)[1] == ("warning", fix)
    (calibrated_bundle.path / "calibration.json").unlink()
    assert of_bundle(machine(), calibrated_bundle.path)[1] == ("missing", fix)


def test_no_bundle(machine: Described, tmp_path: Path) -> None:
    assert one(check_bundle(machine(), tmp_path / "none")).status == "warning"


def test_every_check_of_the_package_is_run() -> None:
    defined = {value for name, value in vars(doctor).items() if name.startswith("check_") and name != "check_bundle"}
    assert defined == set(CHECKS.values())
