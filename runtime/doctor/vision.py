"""Checks of OpenVINO, OpenCV, GStreamer and cameras."""

from __future__ import annotations

import re
from pathlib import Path

from csflow.runtime.doctor.finding import Finding
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine

__all__ = ["check_cameras", "check_gstreamer", "check_opencv", "check_openvino"]

BUILD_OPTIONS = {"FFMPEG": "FFmpeg (videos, rtsp://)", "GStreamer": "GStreamer", "v4l/v4l2": "V4L2 (USB cameras)"}
"""Line of OpenCV's build information: what it serves."""


def check_openvino(machine: Machine) -> list[Finding]:
    """Version and devices."""
    fix = pip_install("openvino")
    if machine.module("openvino") is None:
        return [Finding("OpenVINO", "missing", "not installed; it runs models on the processor", fix)]
    answer = machine.ask("openvino")
    if answer.problem:
        again = "pip install --force-reinstall openvino"
        return [Finding("OpenVINO", "warning", f"installed, but it does not load: {answer.problem}", again)]
    devices = [f"{key} ({value['name']})" for key, value in answer.values["devices"].items()]
    version = answer.values["version"].partition("-")[0]
    return [Finding("OpenVINO", "ok", f"{version} on {', '.join(devices) or 'no device'}")]


def check_opencv(machine: Machine) -> list[Finding]:
    """Version, and which ways to a camera it was built with."""
    if machine.module("cv2") is None:
        what = "not installed; cameras, videos and rtsp:// need it (folders of pictures do not)"
        return [Finding("OpenCV", "missing", what, pip_install("camera"))]
    answer = machine.ask("opencv")
    if answer.problem:
        fix = "pip install --force-reinstall opencv-python-headless"
        return [Finding("OpenCV", "warning", f"installed, but it does not load: {answer.problem}", fix)]
    built = _built_with(answer.values["build"])
    present = [label for key, label in BUILD_OPTIONS.items() if key in built]
    lacking = [label for key, label in BUILD_OPTIONS.items() if key not in built]
    what = f"{answer.values['version']} with {', '.join(present) or 'no video at all'}"
    what += f"; without {', '.join(lacking)}" if lacking else ""
    if set(BUILD_OPTIONS) - built - {"GStreamer"}:
        return [Finding("OpenCV", "warning", what, pip_install("camera"))]
    return [Finding("OpenCV", "ok", what)]


def _built_with(build: str) -> set[str]:
    # The registry of backends names GStreamer even where it was left out; the build information does not lie.
    return {key for key in BUILD_OPTIONS if re.search(rf"^\s*{re.escape(key)}:\s+YES", build, re.M)}


def check_gstreamer(machine: Machine) -> list[Finding]:
    """Whether pipelines can run beside OpenCV; the wheels of OpenCV on PyPI are built without GStreamer."""
    if path := machine.which("gst-launch-1.0"):
        return [Finding("GStreamer", "ok", path)]
    what = "gst-launch-1.0 is not there; only CSI cameras and hardware decoders need it"
    fix = "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good"
    return [Finding("GStreamer", "missing", what, fix)]


def check_cameras(machine: Machine) -> list[Finding]:
    """Video devices, their names, whether this user may open them, and the paths that survive replugging."""
    devices = machine.paths("dev/video[0-9]*")
    if not devices:
        fix = "connect one, or: csflow run --camera rtsp://..."
        return [Finding("cameras", "missing", "there is no /dev/video*", fix)]
    closed = [d for d in devices if not machine.usable(machine.root / d[1:])]
    named = ", ".join(_named(machine, device) for device in devices)
    if closed:
        fix = "sudo usermod -aG video $USER   # and log in again"
        return [Finding("cameras", "warning", f"{named}; no permission to use {', '.join(closed)}", fix)]
    stable = machine.paths("dev/v4l/by-id/*")
    findings = [Finding("cameras", "ok", named)]
    if stable:
        findings.append(Finding("cameras", "ok", f"paths that survive replugging: {', '.join(stable)}"))
    return findings


def _named(machine: Machine, device: str) -> str:
    name = machine.text(f"sys/class/video4linux/{Path(device).name}/name")
    return f"{device} ({name})" if name else device
