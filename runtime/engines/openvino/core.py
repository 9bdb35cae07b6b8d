"""OpenVINO's entry, made so that it leaves the caller's signal stack alone."""

from __future__ import annotations

import contextlib
import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from csflow.runtime.machine.machine import processor_instructions, sums_in_32_bits
from csflow.runtime.machine.telemetry import without_telemetry

with without_telemetry():
    import openvino

__all__ = ["VERSION", "eight_bits", "has_bf16", "new_core", "return_free_memory", "return_mapped_pages"]

VERSION = str(openvino.__version__)
"""OpenVINO's."""
PAGEOUT = 21
"""MADV_PAGEOUT of Linux 5.4: the pages leave memory, and are read again where somebody asks for them."""


def new_core() -> Any:
    """An `openvino.Core` with its CPU plugin loaded.

    The plugin gives the thread that loads it an alternate signal stack and unmaps it when it is unloaded. Of two
    cores released in the order of their making, the second one puts back the first one's stack, which is gone by
    then: the next signal that Python handles there, Ctrl-C for one, ends the process with a segmentation fault (seen
    with OpenVINO 2026.4). So a thread that ends at once loads it.
    """
    with ThreadPoolExecutor(1, "csflow-openvino") as pool:
        return pool.submit(_load).result()


def has_bf16(core: Any) -> bool:
    """Whether the processor computes in bfloat16; elsewhere OpenVINO takes float32 in silence."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def eight_bits() -> dict[str, str]:
    """What `compile_model` must be told so that graphs of eight bits give their own numbers on this processor.

    x86 without VNNI adds each two products in 16 bits, which saturate: features of an int8 backbone were off by 7 % of
    their spread. There OpenVINO computes in float32, which holds the sums exactly (docs/benchmarks.md). libcsflow does
    the same in engine/openvino.cpp.
    """
    return {} if sums_in_32_bits(processor_instructions()) else {"LP_TRANSFORMS_MODE": "NO"}


def return_free_memory() -> None:
    """Give what compiling needed and freed back to the system.

    glibc keeps it for the process otherwise: a quarter of what stays resident (docs/benchmarks.md). Other C libraries
    have no such function, and need none.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def return_mapped_pages(folder: Path) -> None:
    """Let the pages of OpenVINO's cache files in `folder` leave the memory of this process.

    A compiled graph has its weights in a form of its own; those in the file, half of all, are never read again.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            if line.endswith(".blob") and str(folder) in line:
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                advise(start, end - start, PAGEOUT)


def _load() -> Any:
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")
    return core
