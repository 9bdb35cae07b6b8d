"""Checks of processor, memory, disk, Python, the cache directory and csflow's extras."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from csflow.runtime.doctor.finding import Finding
from csflow.runtime.machine.cache import cache_location
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine, processor_instructions, sums_in_32_bits

__all__ = ["check_cache", "check_disk", "check_extras", "check_memory", "check_processor", "check_python"]

INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI (int8)",
    "avx_vnni": "VNNI (int8)",
    "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX bfloat16",
    "amx_int8": "AMX int8",
    "bf16": "bfloat16",
    "i8mm": "int8 matrices",
}
"""Flags of /proc/cpuinfo (x86 'flags', ARM 'Features') that make csflow faster, and what they are called."""
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
MIN_MEMORY = 2 * 10**9
MIN_DISK = 4 * 10**9
"""Bytes below which csflow warns: a bundle at paper settings (0.3 billion parameters) with its graphs and plans
takes 3 to 4 GB."""
SWAP = "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
EXTRAS = ("train", "export", "openvino", "camera")
MODULES = {"opencv-python-headless": "cv2"}
"""Distributions that other packages (opencv-python, Debian's python3-opencv) replace, and the module they share."""


def check_processor(machine: Machine) -> list[Finding]:
    """Name, cores and the instructions that matter."""
    text = machine.text("proc/cpuinfo")
    if not text:
        return [Finding("processor", "warning", f"{platform.machine()}; /proc/cpuinfo cannot be read", "mount /proc")]
    name = _field(text, "model name") or machine.text("proc/device-tree/model") or platform.machine()
    instructions = processor_instructions(machine)
    flags = set(instructions.split())
    found = list(dict.fromkeys(label for flag, label in INSTRUCTIONS.items() if flag in flags))
    bf16 = "" if flags & BFLOAT16 else "; no bfloat16: OpenVINO runs in float32"
    int8 = "" if sums_in_32_bits(instructions) else "; no VNNI: OpenVINO computes int8 graphs in float32"
    present = len(re.findall(r"^processor\s*:", text, re.M))
    cores = f"{machine.cores()} of {present} cores usable"
    return [Finding("processor", "ok", f"{name}, {cores}; {', '.join(found) or 'no fast instructions'}{bf16}{int8}")]


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.M)
    return found.group(1).strip() if found else ""


def check_memory(machine: Machine) -> list[Finding]:
    """Total and free memory, within the limit of a container where there is one."""
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", machine.text("proc/meminfo"), re.M))
    if not {"MemTotal", "MemAvailable"} <= set(sizes):
        return [Finding("memory", "warning", "/proc/meminfo does not say how much memory there is", "mount /proc")]
    total, free = (1024 * int(sizes[key]) for key in ("MemTotal", "MemAvailable"))
    limit, used = (machine.text(f"sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    note = ""
    if limit.isdecimal() and int(limit) < total:
        total, free = int(limit), min(free, int(limit) - int(used or 0))
        note = " (limit of this container)"
    what = f"{_gigabytes(free)} free of {_gigabytes(total)}{note}"
    if free < MIN_MEMORY:
        return [Finding("memory", "warning", f"{what}; a large model may not fit", SWAP)]
    return [Finding("memory", "ok", what)]


def check_disk(machine: Machine) -> list[Finding]:
    """Free space where bundles are written: the working directory."""
    here = Path.cwd()
    free = machine.disk_free(here)
    if free < MIN_DISK:
        what = f"{_gigabytes(free)} free at {here}; a large bundle with its plans takes up to {_gigabytes(MIN_DISK)}"
        return [Finding("disk", "warning", what, f"du -xh {here} | sort -h | tail   # and delete what is not needed")]
    return [Finding("disk", "ok", f"{_gigabytes(free)} free at {here}")]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def check_python(machine: Machine) -> list[Finding]:
    """The interpreter that runs csflow."""
    version = ".".join(map(str, sys.version_info[:3]))
    csflow = machine.version("csflow") or "of a source folder"
    return [Finding("Python", "ok", f"{version} at {sys.executable}, csflow {csflow}")]


def check_cache(machine: Machine) -> list[Finding]:
    """Whether compiled models can be kept; without that every start compiles anew."""
    fix = "export CSFLOW_CACHE=DIR   # a directory that this user may write"
    wanted = cache_location()
    if wanted is None:
        return [Finding("cache", "warning", "this user has no home: every start compiles anew", fix)]
    present = next(p for p in (wanted, *wanted.absolute().parents) if os.path.lexists(p))
    if present.is_dir() and machine.usable(present):
        return [Finding("cache", "ok", f"{wanted} can be written")]
    what = f"{wanted} cannot be written ({present} is in the way): every start compiles anew"
    return [Finding("cache", "warning", what, fix)]


def check_extras(machine: Machine) -> list[Finding]:
    """Which of csflow's extras are whole."""
    stated = machine.requirements()
    return [_extra(machine, extra, list(_needed(stated, extra))) for extra in EXTRAS]


def _extra(machine: Machine, extra: str, needed: list[tuple[str, str]]) -> Finding:
    gaps = [gap for name, minimum in needed if (gap := _gap(machine, name, minimum))]
    fix = pip_install(extra)
    if not needed:
        return Finding(f"extra {extra}", "warning", "this csflow's metadata does not name it", fix)
    if gaps:
        return Finding(f"extra {extra}", "missing", f"not complete: {', '.join(gaps)}", fix)
    return Finding(f"extra {extra}", "ok", f"complete ({len(needed)} packages)")


def _needed(stated: tuple[str, ...], extra: str) -> Iterator[tuple[str, str]]:
    """(distribution, least version) of an extra, with the extras that it includes."""
    for requirement in stated:
        spec, _, marker = requirement.partition(";")
        if not re.search(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""", marker):
            continue
        if inner := re.match(r"csflow\[(.*)\]", spec):
            for name in inner.group(1).split(","):
                yield from _needed(stated, name.strip())
            continue
        name_match = re.match(r"[A-Za-z0-9._-]+", spec.strip())
        least = re.search(r">=\s*([0-9.]+)", spec)
        if name_match:
            yield name_match.group(), least.group(1) if least else ""


def _gap(machine: Machine, name: str, minimum: str) -> str:
    version = machine.version(name)
    if version is None:
        return "" if name in MODULES and machine.module(MODULES[name]) else name
    return f"{name} {version} (needs {minimum})" if minimum and _numbers(version) < _numbers(minimum) else ""


def _numbers(version: str) -> list[int]:
    # '2.15.0+cu132' is 2.15.0; trailing letters (rc, post) do not decide here.
    release = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return [int(part) for part in release.group().split(".")] if release else []
