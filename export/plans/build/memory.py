"""Whether a build fits into memory and onto the disk, asked before it starts: the kernel kills what does not fit."""

from __future__ import annotations

import re
from pathlib import Path

from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.errors import EngineError, SinkError
from csflow.runtime.machine.machine import Machine

__all__ = ["available_memory", "needed_memory", "require_disk", "require_memory"]

BASE = 400 << 20
"""Bytes that Python and TensorRT for RTX take before they see a graph."""
CUDA_BASE = 1200 << 20
"""The same with a CUDA context and the kernels of full TensorRT."""
PER_ONNX_BYTE = 4
"""Bytes per byte of ONNX: the file, TensorRT's copy, the compiler's, the plan. Measured, see docs/engines.md."""
CGROUP = "sys/fs/cgroup/memory"


def available_memory(machine: Machine) -> int | None:
    """Bytes of free memory and swap, or less where a container sets a limit; None where the machine does not tell."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", machine.text("proc/meminfo"), re.MULTILINE))
    if "MemAvailable" not in fields:
        return None
    free = (int(fields["MemAvailable"]) + int(fields.get("SwapFree", 0))) * 1024
    limit, used = machine.text(f"{CGROUP}.max"), machine.text(f"{CGROUP}.current")
    return min(free, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else free


def needed_memory(onnx_size: int, library: Library, workspace: int | None) -> int:
    """Bytes that building a graph of `onnx_size` bytes takes at least."""
    shared = (workspace or 0) if library.device is not None and library.device.integrated else 0
    base = CUDA_BASE if library.flavour == "tensorrt" else BASE
    return base + PER_ONNX_BYTE * onnx_size + shared


def require_memory(name: str, onnx_size: int, library: Library, workspace: int | None, machine: Machine) -> None:
    """Raises EngineError where the build cannot fit; says nothing where the machine does not tell."""
    free, needed = available_memory(machine), needed_memory(onnx_size, library, workspace)
    if free is not None and free < needed:
        step = "close other programs, add swap" + (", or give a smaller --workspace" if workspace else "")
        raise EngineError(
            f"building the {name} plan needs about {needed / 1e9:.1f} GB of memory and {max(free, 0) / 1e9:.1f} GB are "
            f"free: {step}"
        )


def require_disk(folder: Path, size: int, machine: Machine) -> None:
    """Raises SinkError where `size` bytes do not fit beside `folder`."""
    free = machine.disk_free(folder)
    if free < size:
        raise SinkError(
            f"the plans need about {size / 1e6:.0f} MB on the disk of {folder} and {free / 1e6:.0f} MB are free: "
            "free space, then start again"
        )
