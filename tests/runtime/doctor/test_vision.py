"""What doctor says of OpenVINO, OpenCV, GStreamer and cameras."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from csflow.runtime.doctor.finding import Finding
from csflow.runtime.doctor.vision import check_cameras, check_gstreamer, check_opencv, check_openvino
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Answer, Machine

Described = Callable[..., Machine]
BUILD = "  Video I/O:\n    FFMPEG:           {}\n    GStreamer:  {}\n    v4l/v4l2:   {} (linux/videodev2.h)\n"


def one(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_openvino(machine: Described) -> None:
    values = {"version": "2026.4.1-22982-abc", "devices": {"CPU": {"name": "Xeon", "capabilities": ["BF16"]}}}
    there = {"openvino": "/x/openvino/__init__.py"}
    assert one(check_openvino(machine())).fix == pip_install("openvino")
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
def test_opencv(machine: Described, built: tuple[str, ...], status: str, without: str) -> None:
    answer = Answer({"version": "5.0.0", "build": BUILD.format(*built)})
    finding = one(check_opencv(machine(answers={"opencv": answer}, modules={"cv2": "/x/cv2.so"})))
    assert finding.status == status
    assert without in finding.what
    assert ("without" in finding.what) is bool(without)


def test_gstreamer(machine: Described) -> None:
    assert one(check_gstreamer(machine())).status == "missing"
    assert one(check_gstreamer(machine(which=lambda name: f"/usr/bin/{name}"))).what == "/usr/bin/gst-launch-1.0"


def test_cameras(machine: Described) -> None:
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
