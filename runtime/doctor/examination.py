"""What this machine can do for csflow, and the one command that closes each gap.

A check is a function of a `Machine` that gives findings. One that breaks is reported and does not stop the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csflow.runtime.doctor.bundle import check_bundle
from csflow.runtime.doctor.finding import Finding
from csflow.runtime.doctor.gpu import check_gpu, check_jetpack, check_tensorrt
from csflow.runtime.doctor.system import (
    check_cache,
    check_disk,
    check_extras,
    check_memory,
    check_processor,
    check_python,
)
from csflow.runtime.doctor.vision import check_cameras, check_gstreamer, check_opencv, check_openvino
from csflow.runtime.machine.machine import Machine

__all__ = ["CHECKS", "Check", "Examination", "examination_lines", "examine"]

Check = Callable[[Machine], list[Finding]]
CHECKS: dict[str, Check] = {
    "processor": check_processor,
    "memory": check_memory,
    "disk": check_disk,
    "Python": check_python,
    "GPU": check_gpu,
    "JetPack": check_jetpack,
    "TensorRT": check_tensorrt,
    "OpenVINO": check_openvino,
    "OpenCV": check_opencv,
    "GStreamer": check_gstreamer,
    "cameras": check_cameras,
    "cache": check_cache,
    "extras": check_extras,
}
"""Every check of the machine itself, in the order of the report."""


@dataclass(frozen=True)
class Examination:
    """Everything that was found."""

    findings: tuple[Finding, ...]
    broken: tuple[str, ...]
    """Topics whose check itself failed: faults of csflow, not of the machine."""


def examine(machine: Machine, bundle: Path | None = None, checks: dict[str, Check] | None = None) -> Examination:
    """Run every check, and those of `bundle` where one is named.

    Args:
        machine: whom to ask.
        bundle: a bundle's directory.
        checks: the checks by topic; `CHECKS` by default.
    """
    chosen = dict(CHECKS if checks is None else checks)
    if bundle is not None:
        chosen["bundle"] = lambda asked: check_bundle(asked, bundle)
    # Several checks ask the same; a driver that hangs is waited for once.
    machine = replace(machine, ask=functools.cache(machine.ask))
    findings: list[Finding] = []
    broken: list[str] = []
    for topic, check in chosen.items():
        try:
            findings += check(machine)
        except Exception as error:  # noqa: BLE001 - one check's fault must not hide what the others found
            broken.append(topic)
            what = f"this check failed ({type(error).__name__}: {error})"
            findings.append(Finding(topic, "warning", what, "report it with the output of: csflow doctor --json"))
    return Examination(tuple(findings), tuple(broken))


def examination_lines(findings: Sequence[Finding]) -> list[str]:
    """The findings as aligned lines for a terminal, each gap with the command that closes it below it."""
    width = max((len(finding.topic) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<8} {finding.topic:<{width}}  {finding.what}")
        if finding.fix:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.fix}")
    return lines
